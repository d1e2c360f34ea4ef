package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// open returns the stream's state. It creates a missing stream.
func (r *Relay) open(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	wanted := r.subjects()
	stream, err := r.streams.Stream(ctx, r.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if stream, err = r.streams.CreateStream(ctx, jetstream.StreamConfig{Name: r.Stream, Subjects: wanted}); err == nil {
			r.Log.Info(fmt.Sprintf("Stream %q has been created", r.Stream), "subjects", strings.Join(wanted, ", "), "payload", r.payloads())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", r.Stream, err)
	}
	info := stream.CachedInfo()
	for _, w := range wanted {
		if !slices.ContainsFunc(info.Config.Subjects, func(s string) bool { return natsd.SubjectMatchesFilter(w, s) }) {
			return nil, fmt.Errorf("stream %q: subjects %s do not cover %s: add it to the stream", r.Stream, strings.Join(info.Config.Subjects, ", "), w)
		}
	}
	if info.Config.NoAck {
		return nil, fmt.Errorf("stream %q: no_ack is set, but the relay needs acknowledgements", r.Stream)
	}
	r.removes = removes(&info.Config)
	return info, nil
}

// check finds the position again if the stream was deleted, replaced or truncated.
func (r *Relay) check(ctx context.Context) error {
	info, err := r.open(ctx)
	if err != nil || info.Created.Equal(r.at.Created) && info.State.LastSeq >= r.at.Sequence {
		return err
	}
	return r.locate(ctx, info)
}

// removes reports whether a stream removes messages on its own.
func removes(c *jetstream.StreamConfig) bool {
	return c.Retention != jetstream.LimitsPolicy || c.MaxAge > 0 || c.AllowMsgTTL ||
		c.Discard == jetstream.DiscardOld && (c.MaxMsgs > 0 || c.MaxBytes > 0) || c.MaxMsgsPerSubject > 0
}

// subjects returns patterns that cover the subjects of all routes.
func (r *Relay) subjects() []string {
	var all []string
	for i := range r.Routes {
		all = append(all, r.Routes[i].Subject.Patterns(r.Routes[i].Types)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != s && natsd.SubjectMatchesFilter(s, other) })
	})
}

// payloads says what the stream carries.
func (r *Relay) payloads() string {
	var all []string
	for i := range r.Routes {
		name := "envelope"
		if r.Routes[i].DataOnly {
			name = "data"
		}
		all = append(all, name)
	}
	return strings.Join(slices.Compact(all), ", ")
}
