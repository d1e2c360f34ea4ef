// Package streams fills streams of JetStream from the channels of an event store: a stream for each channel, with the same sequences.
//
// The sequences are what makes a copy safe to repeat. Message N is published on condition that the stream's last one is N-1, so that it
// is stored once, in its place, however often it is sent. A copy that starts therefore needs no memory: it goes on behind the stream's
// last message, after it has checked that this is the channel's message of that sequence. Sequences that the channel no longer has
// are filled with placeholders, which are removed before the copy ends.
package streams

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// Source is the event store to copy from.
type Source interface {
	// Channels returns the channels to copy, sorted by name, and the ID of the cluster.
	Channels(ctx context.Context) (cluster string, channels []*eventstorev1.Channel, err error)
	// Read calls each with the messages of a channel with their payloads, from a sequence to the last one at the time of the call.
	Read(ctx context.Context, channel string, from uint64, each func([]*eventstorev1.RecordedEvent) error) error
	// Consumers returns all consumers.
	Consumers(ctx context.Context) ([]*eventstorev1.Consumer, error)
}

// Options say what the streams are like.
type Options struct {
	Subject   relay.Template
	DataOnly  bool
	Headers   relay.Headers
	Streams   map[string]string // names of streams by channel, in place of those that Name makes
	Consumers map[string]string // names of consumers by the name that Copier says
	Replicas  int
	// Wait is how long to wait for a JetStream that does not answer.
	Wait time.Duration
}

// Copier copies channels to streams. One goroutine uses it.
type Copier struct {
	Source Source
	Options
	// Note tells the user something.
	Note func(format string, args ...any)
	// Progress is told how many messages are done of how many.
	Progress func(done, total uint64)

	conn    *nats.Conn
	js      jetstream.JetStream
	stored  nats.JetStreamContext // reads from the leader of a stream; a replica may lag
	cluster string
	streams []*stream // in the order of their channels
}

// New returns a copier that publishes by a connection, with the JetStream of a domain unless that is empty.
func New(conn *nats.Conn, domain string) (*Copier, error) {
	options := []jetstream.JetStreamOpt{jetstream.WithPublishAsyncTimeout(requestTimeout), jetstream.WithPublishAsyncMaxPending(2 * maxPending)}
	c := &Copier{conn: conn, Note: func(string, ...any) {}, Progress: func(uint64, uint64) {}}
	var err error
	if domain == "" {
		c.js, err = jetstream.New(conn, options...)
	} else {
		c.js, err = jetstream.NewWithDomain(conn, domain, options...)
	}
	if err != nil {
		return nil, err
	}
	var legacy []nats.JSOpt
	if domain != "" {
		legacy = append(legacy, nats.Domain(domain))
	}
	c.stored, err = conn.JetStream(legacy...)
	return c, err
}

// Result is what became of a channel.
type Result struct {
	Channel  string   `json:"channel"`
	Stream   string   `json:"stream"`
	Subjects []string `json:"subjects"`
	Messages uint64   `json:"messages"` // of the stream
	Last     uint64   `json:"last_sequence"`
	Copied   uint64   `json:"copied"` // by this run
	Missing  uint64   `json:"missing,omitempty"`
	Created  bool     `json:"created,omitempty"`
}

// Plan finds out which channel goes to which stream, and checks that nothing stands in the way. It writes nothing. A second call finds
// channels that are new since the first.
func (c *Copier) Plan(ctx context.Context) ([]Result, error) {
	cluster, channels, err := c.Source.Channels(ctx)
	if err != nil {
		return nil, err
	}
	if cluster == "" {
		return nil, fmt.Errorf("the server does not say its cluster ID: it is older than this program, so update it first")
	}
	c.cluster = cluster
	known := make(map[string]*stream, len(c.streams))
	for _, s := range c.streams {
		known[s.channel.GetName()] = s
	}
	c.streams = nil
	fresh := 0
	var bytes uint64
	for _, ch := range channels {
		s := known[ch.GetName()]
		if s == nil {
			if s, err = c.newStream(ch); err != nil {
				return nil, err
			}
			if err := c.look(ctx, s); err != nil {
				return nil, err
			}
			fresh++
		}
		s.channel = ch
		bytes += ch.GetBytes()
		c.streams = append(c.streams, s)
	}
	if fresh > 0 {
		if err := c.checkNames(); err != nil {
			return nil, err
		}
		if err := c.checkAccount(ctx, bytes); err != nil {
			return nil, err
		}
	}
	var results []Result
	for _, s := range c.streams {
		results = append(results, s.result)
	}
	return results, nil
}

// Copy brings the streams of the plan up to their channels, and reports whether all are level.
func (c *Copier) Copy(ctx context.Context) ([]Result, error) {
	var total, done uint64
	for _, s := range c.streams {
		total += s.left()
	}
	var results []Result
	for _, s := range c.streams {
		before := done
		err := c.fillPatiently(ctx, s, func(n uint64) {
			done = before + n
			c.Progress(done, total)
		})
		if err != nil {
			return results, err
		}
		results = append(results, s.result)
	}
	return results, nil
}

// checkNames returns an error if two channels would share a stream or its subjects.
func (c *Copier) checkNames() error {
	byName := make(map[string]string, len(c.streams))
	for i, s := range c.streams {
		if other, taken := byName[s.name]; taken {
			return fmt.Errorf("channels %q and %q would both become stream %q: name one of them otherwise, such as --stream %s=%s-2", other, s.channel.GetName(), s.name, s.channel.GetName(), s.name)
		}
		byName[s.name] = s.channel.GetName()
		for _, before := range c.streams[:i] {
			if collide(before.subjects, s.subjects) {
				return fmt.Errorf("the streams of channels %q and %q would share subjects (%s and %s): put {channel} into --subject", before.channel.GetName(), s.channel.GetName(),
					strings.Join(before.subjects, ", "), strings.Join(s.subjects, ", "))
			}
		}
	}
	return nil
}

func collide(one, other []string) bool {
	return slices.ContainsFunc(one, func(a string) bool {
		return slices.ContainsFunc(other, func(b string) bool { return natsd.SubjectsCollide(a, b) })
	})
}

// checkAccount returns an error if the account has too little room for so many bytes.
func (c *Copier) checkAccount(ctx context.Context, bytes uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	account, err := c.js.AccountInfo(ctx)
	if err != nil {
		return explain(fmt.Errorf("ask JetStream for the limits of the account: %w", err))
	}
	missing, there := 0, uint64(0)
	for _, s := range c.streams {
		if s.info == nil {
			missing++
		} else {
			there += s.info.State.Bytes
		}
	}
	tier := account.Tier
	if own, ok := account.Tiers[fmt.Sprintf("R%d", max(c.Replicas, 1))]; ok {
		tier = own
	}
	limits := tier.Limits
	switch left := bytes - min(there, bytes); {
	case limits.MaxStreams > 0 && tier.Streams+missing > limits.MaxStreams:
		return fmt.Errorf("the account of JetStream may have %d streams and has %d, but %d more are needed: raise max_streams of the account, or copy fewer channels", limits.MaxStreams, tier.Streams, missing)
	case limits.MaxStore > 0 && tier.Store+left > uint64(limits.MaxStore):
		return fmt.Errorf("the account of JetStream has %d of %d bytes left, but the channels have %d bytes to copy: raise max_file of the account, or copy fewer channels",
			uint64(limits.MaxStore)-min(tier.Store, uint64(limits.MaxStore)), limits.MaxStore, left)
	}
	return nil
}
