package streams

import (
	"context"
	"errors"
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

// requestTimeout bounds one request to JetStream.
const requestTimeout = 5 * time.Second

// gapSubject is the prefix of the subject of placeholders. While a stream has it, placeholders may be in the stream.
const gapSubject = "_EVENTSTORE.gap."

// metadataChannel is the key of the metadata by which a stream or consumer of a copy names its origin.
const metadataChannel = "eventstore_channel"

// stream is the stream of a channel.
type stream struct {
	name     string
	channel  *eventstorev1.Channel
	route    relay.Route
	subjects []string // of its messages
	info     *jetstream.StreamInfo
	next     uint64 // sequence of the next message
	empty    bool   // it has no messages
	verify   uint64 // sequence of its last message, 0 if that is a placeholder or there is none
	id       string // Nats-Msg-Id of that
	gaps     bool   // there may be placeholders
	counted  uint64 // next when the stream was compared with the channel
	result   Result
}

func (s *stream) left() uint64 {
	last := s.channel.GetLastSequence()
	return last - min(last, s.next-1)
}

func (c *Copier) newStream(ch *eventstorev1.Channel) (*stream, error) {
	name, err := c.streamOf(ch.GetName())
	if err != nil {
		return nil, err
	}
	subject := c.Subject.In(ch.GetName())
	if err := subject.Check(nil); err != nil {
		return nil, fmt.Errorf("channel %q: subject: %w: choose another one with --subject", ch.GetName(), err)
	}
	s := &stream{
		name: name, channel: ch, next: 1, subjects: subject.Patterns(nil),
		route: relay.Route{Subject: subject, DataOnly: c.DataOnly, Headers: c.Headers},
	}
	for _, p := range s.subjects {
		if !natsd.IsValidSubject(p) {
			return nil, fmt.Errorf("channel %q: %q is not a subject of NATS: choose another one with --subject", ch.GetName(), p)
		}
	}
	s.result = Result{Channel: ch.GetName(), Stream: name, Subjects: s.subjects}
	return s, nil
}

// look finds out how far a stream is, and that it is fit for the copy. A missing one is not an error.
func (c *Copier) look(ctx context.Context, s *stream) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := c.js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.info, s.next, s.empty, s.verify = nil, 1, true, 0
		return nil
	}
	if err != nil {
		return explain(fmt.Errorf("stream %q: %w", s.name, err))
	}
	s.setInfo(found.CachedInfo())
	if err := s.fit(); err != nil {
		return err
	}
	state := s.info.State
	s.next, s.empty, s.verify, s.id = state.LastSeq+1, state.Msgs == 0, 0, ""
	if s.next > s.channel.GetLastSequence()+1 {
		return fmt.Errorf("stream %q is at sequence %d, but channel %q ends at %d: it is not a copy of the channel, or the channel was restored from an older backup: delete the stream, or name another one with --stream %s=NAME",
			s.name, state.LastSeq, s.channel.GetName(), s.channel.GetLastSequence(), s.channel.GetName())
	}
	if s.empty {
		return nil
	}
	last, err := c.lastMessage(ctx, s)
	if err != nil {
		return explain(fmt.Errorf("stream %q: read its last message: %w", s.name, err))
	}
	original := relay.Stored{Cluster: c.cluster, Channel: s.channel.GetName(), Sequence: last.Sequence}
	if !original.Has(last.Header) {
		return fmt.Errorf("message %d of stream %q on subject %s does not come from message %d of channel %q of cluster %q: somebody else publishes to the stream, so that sequences cannot be kept: stop that, and delete the stream, or name another one with --stream %s=NAME",
			last.Sequence, s.name, last.Subject, last.Sequence, s.channel.GetName(), c.cluster, s.channel.GetName())
	}
	if last.Subject != gapSubject+s.name {
		s.verify, s.id = last.Sequence, last.Header.Get(jetstream.MsgIDHeader)
	}
	return nil
}

func (s *stream) setInfo(info *jetstream.StreamInfo) {
	s.info, s.result.Messages, s.result.Last = info, info.State.Msgs, info.State.LastSeq
}

// lastMessage returns the last message of a stream that is not empty. The leader of the stream is asked: a replica may lag.
func (c *Copier) lastMessage(ctx context.Context, s *stream) (*nats.RawStreamMsg, error) {
	last, err := c.stored.GetMsg(s.name, s.info.State.LastSeq, nats.Context(ctx))
	if !errors.Is(err, nats.ErrMsgNotFound) {
		return last, err
	}
	// The last sequences were placeholders.
	for _, subject := range s.subjects {
		m, err := c.stored.GetLastMsg(s.name, subject, nats.Context(ctx))
		if err != nil && !errors.Is(err, nats.ErrMsgNotFound) {
			return nil, err
		}
		if err == nil && (last == nil || m.Sequence > last.Sequence) {
			last = m
		}
	}
	if last == nil {
		return nil, fmt.Errorf("it has messages, but none on %s: delete it", strings.Join(s.subjects, ", "))
	}
	return last, nil
}

// fit returns an error if a stream that exists would lose messages, or lacks subjects.
func (s *stream) fit() error {
	config := s.info.Config
	s.gaps = slices.Contains(config.Subjects, gapSubject+s.name)
	var wrong []string
	add := func(is bool, what string) {
		if is {
			wrong = append(wrong, what)
		}
	}
	add(config.Retention != jetstream.LimitsPolicy, "retention "+config.Retention.String()+", which removes messages that are consumed, or that nobody consumes")
	add(config.MaxMsgs > 0, "max_msgs")
	add(config.MaxBytes > 0 && config.Discard == jetstream.DiscardOld, "max_bytes with discard old")
	add(config.MaxAge > 0, "max_age")
	add(config.MaxMsgsPerSubject > 0, "max_msgs_per_subject")
	add(config.NoAck, "no_ack")
	add(config.Sealed, "sealed")
	add(config.Mirror != nil, "mirror")
	add(len(config.Sources) > 0, "sources")
	add(config.SubjectTransform != nil, "subject_transform")
	add(config.AllowMsgCounter, "allow_msg_counter")
	if len(wrong) > 0 {
		return fmt.Errorf("stream %q has %s: with that, it would lose or change messages of the copy: take that back until the copy is complete, or delete the stream", s.name, strings.Join(wrong, ", "))
	}
	for _, want := range s.subjects {
		if !slices.ContainsFunc(config.Subjects, func(have string) bool { return natsd.SubjectMatchesFilter(want, have) }) {
			return fmt.Errorf("stream %q has subjects %s, which do not cover %s: add it to the stream, or choose another one with --subject", s.name, strings.Join(config.Subjects, ", "), want)
		}
	}
	return nil
}

// create creates the stream of a channel, whose first message has a sequence.
func (c *Copier) create(ctx context.Context, s *stream, first uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	config := jetstream.StreamConfig{
		Name: s.name, Subjects: s.subjects, Replicas: c.Replicas, AllowDirect: true,
		Description: fmt.Sprintf("channel %s of cluster %s", s.channel.GetName(), c.cluster),
		Metadata:    map[string]string{metadataChannel: s.channel.GetName()},
	}
	if first > 1 {
		config.FirstSeq = first
	}
	created, err := c.js.CreateStream(ctx, config)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return errStepped
	}
	if err != nil {
		return explain(fmt.Errorf("create stream %q: %w", s.name, err))
	}
	s.info, s.result.Created = created.CachedInfo(), true
	s.next = s.info.State.LastSeq + 1
	return nil
}

// errStepped means that the stream is no longer as it was when it was looked at.
var errStepped = errors.New("the stream changed meanwhile")
