package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Source is an event channel.
type Source interface {
	Name() string
	Last() uint64 // the highest committed sequence
	// Cursor reads on from a sequence.
	Cursor(next uint64) Cursor
	Extract(payload []byte) (proto.Event, error)
}

// Cursor reads a channel onwards. One goroutine uses it, and closes it.
type Cursor interface {
	// ReadTo returns some messages up to a sequence, none if there are no more up to that.
	ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error)
	Close()
}

// Route says which events go to the stream, and as what.
type Route struct {
	From     func(channel string) bool
	Types    []string // patterns; none: all
	Subject  Template
	DataOnly bool // event_data alone
	Headers  Headers
}

// Relay publishes the events of channels to one stream: those of a channel in its order, and each once.
//
// Every message is published under the condition that the stream's last message is the one before it. So nothing that is sent
// again, late, or by a server that does not lead any more gets in between; and whoever begins anew, or is told that the
// stream moved, first reads in the stream itself what is there.
type Relay struct {
	Cluster   string
	Stream    string
	Routes    []Route // of several that an event matches, the first counts
	Positions Positions
	Log       *slog.Logger

	streams jetstream.JetStream
	stored  nats.JetStreamContext // reads messages from the leader of the stream, not from a replica that may be behind

	mu      sync.Mutex // guards sources
	sources []*source
	wake    chan struct{} // has one slot and carries no data

	// What follows is used by Run's goroutine alone.
	at, saved *position // nil as long as it is not known
	savedAt   time.Time
	removes   bool // whether the stream removes messages without being asked
	working   bool // since the last error

	failing   atomic.Bool
	published atomic.Uint64
	failures  atomic.Uint64
}

// source is a channel whose events are relayed.
type source struct {
	Source
	key    string // its name as headers have it
	routes []*Route
	cursor Cursor // behind what is done; nil until the position is known. Used by Run's goroutine

	done  atomic.Uint64 // all events up to this sequence are in the stream
	since atomic.Int64  // timestamp of a message that is not, ns since 1970; meaningful while done is behind
}

const (
	// batch is how many messages are published before their acknowledgements are awaited.
	batch = 512
	// saveInterval and saveMessages bound how far the saved position is behind.
	saveInterval = time.Second
	saveMessages = 4096
	// checkInterval is how late a relay that has nothing to publish learns that somebody deleted the stream.
	checkInterval = 10 * time.Second
	// requestTimeout bounds one request to JetStream, and one write to the database.
	requestTimeout = 5 * time.Second
	// minBackoff and maxBackoff are the pauses after errors.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// New prepares a relay on a connection to NATS. The exported fields are the caller's to set before Run.
func New(nc *nats.Conn) (*Relay, error) {
	streams, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(requestTimeout), jetstream.WithPublishAsyncMaxPending(8*batch))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	stored, err := nc.JetStream()
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Relay{streams: streams, stored: stored, wake: make(chan struct{}, 1)}, nil
}

// Add adds a channel, and reports whether any of its events are relayed. If so, Wake is to be called when it has new ones.
func (r *Relay) Add(s Source) bool {
	src := &source{Source: s, key: escapeHeader(s.Name())}
	for i := range r.Routes {
		if r.Routes[i].From(s.Name()) {
			src.routes = append(src.routes, &r.Routes[i])
		}
	}
	if len(src.routes) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, src)
	return true
}

func (r *Relay) all() []*source {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sources[:len(r.sources):len(r.sources)]
}

// Wake says that channels have new messages.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends or another server leads. Whatever goes wrong is tried again.
func (r *Relay) Run(ctx context.Context) {
	wait := minBackoff
	for ctx.Err() == nil {
		r.working = false
		err := r.session(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, stores.ErrFenced):
			return // whoever leads now relays
		case isMoved(err): // by a message that is not ours, or of which we did not learn: look, and go on
			if !r.working {
				pause(ctx, minBackoff)
			}
		default:
			r.failures.Add(1)
			if !r.failing.Swap(true) {
				r.Log.Error("Relaying events fails, they wait", "stream", r.Stream, "error", err)
			}
			if r.working {
				wait = minBackoff
			}
			r.age(ctx)
			pause(ctx, wait)
			wait = min(2*wait, maxBackoff)
		}
	}
	for _, src := range r.all() {
		src.rewind(nil)
	}
	if r.at != nil {
		if err := r.save(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, stores.ErrFenced) {
			r.Log.Warn("The position of the relay is not saved, it will be read from the stream", "stream", r.Stream, "error", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// session finds the position and relays until something goes wrong.
func (r *Relay) session(ctx context.Context) error {
	info, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := r.locate(ctx, info); err != nil {
		return err
	}
	if r.saved == nil {
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	save, check := time.NewTicker(saveInterval), time.NewTicker(checkInterval)
	defer save.Stop()
	defer check.Stop()
	for {
		idle := true
		for _, src := range r.all() {
			n, err := r.relay(ctx, src)
			if err != nil {
				return err
			}
			idle = idle && n == 0
		}
		r.works()
		if r.at.Sequence-r.saved.Sequence >= saveMessages || time.Since(r.savedAt) >= saveInterval && r.moved() {
			if err := r.save(ctx); err != nil {
				return err
			}
		}
		if !idle {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case <-save.C:
		case <-check.C:
			if err := r.check(ctx); err != nil {
				return err
			}
		}
	}
}

// works notes that the relay goes on after an error.
func (r *Relay) works() {
	r.working = true
	if r.failing.CompareAndSwap(true, false) {
		r.Log.Info("Relaying events works again", "stream", r.Stream)
	}
}

// moved reports whether there is something to save.
func (r *Relay) moved() bool {
	if r.at.Sequence != r.saved.Sequence {
		return true
	}
	for channel, seq := range r.at.Channels {
		if r.saved.Channels[channel] != seq {
			return true
		}
	}
	return false
}

// relay publishes the next messages of a channel, and returns how many it looked at.
func (r *Relay) relay(ctx context.Context, src *source) (int, error) {
	done, last := src.done.Load(), src.Last()
	if done >= last {
		return 0, nil
	}
	turn := "" // a stream that keeps its messages tells more than one channel apart
	if r.removes || len(r.all()) == 1 {
		turn = src.key
	}
	if r.at.Turn != turn {
		r.at.Turn = turn
		if err := r.save(ctx); err != nil {
			return 0, err
		}
	}
	if src.cursor == nil {
		src.rewind(src.Cursor(done + 1))
	}
	msgs, err := src.cursor.ReadTo(ctx, last, batch)
	if err != nil {
		return 0, err
	}
	if len(msgs) == 0 { // a hole at the end
		r.advance(src, last)
		return 1, nil
	}
	src.since.Store(msgs[0].Timestamp)
	acks := make([]jetstream.PubAckFuture, len(msgs)) // nil: not routed
	sent, next, before := 0, r.at.Sequence, ""
	for i, m := range msgs {
		if e, route := r.match(src, m); route != nil {
			if acks[i], err = r.streams.PublishMsgAsync(route.message(r.Stream, e, next, before), jetstream.WithRetryAttempts(0)); err != nil {
				err = fmt.Errorf("publish event %d of channel %q: %w", m.Sequence, src.Name(), err)
				break
			}
			next, before = next+1, e.id()
		}
		sent++
	}
	for i, m := range msgs[:sent] {
		if err := r.acknowledged(ctx, acks[i]); err != nil {
			return i, fmt.Errorf("publish event %d of channel %q: %w", m.Sequence, src.Name(), err)
		}
		r.advance(src, m.Sequence)
	}
	return sent, err
}

// rewind reads with another cursor from now on; nil: with one that begins behind what is done.
func (s *source) rewind(to Cursor) {
	if s.cursor != nil {
		s.cursor.Close()
	}
	s.cursor = to
}

// acknowledged waits for the acknowledgement of a message, and takes the stream's sequence.
func (r *Relay) acknowledged(ctx context.Context, f jetstream.PubAckFuture) error {
	if f == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case ack := <-f.Ok():
		if !ack.Duplicate {
			r.at.Sequence = ack.Sequence
			r.published.Add(1)
		}
		return nil
	case err := <-f.Err():
		return err
	}
}

func (r *Relay) advance(src *source, seq uint64) {
	r.at.Channels[src.key] = seq
	src.done.Store(seq)
}

// isMoved reports whether the stream's last message was another one than the relay's.
func isMoved(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(movedCodes, api.ErrorCode)
}

// movedCodes are those of a wrong last sequence, with its number in the text and without, and of a wrong last Nats-Msg-Id.
var movedCodes = []jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, 10164, 10070}

// match returns the event that a message is, and its route; nil if it has none.
func (r *Relay) match(src *source, m stores.Message) (*event, *Route) {
	var msg pb.MsgProto
	if msg.Unmarshal(m.Data) != nil {
		return nil, nil
	}
	ev, err := src.Extract(msg.Data)
	if err != nil {
		return nil, nil // it was stored before its channel became an event channel
	}
	for _, route := range src.routes {
		if MatchesAnyType(route.Types, ev.Type) {
			return &event{
				Event: ev, cluster: r.Cluster, channel: src.Name(), sequence: m.Sequence, timestamp: m.Timestamp, payload: msg.Data,
			}, route
		}
	}
	return nil, nil
}

// message returns an event as a message that the stream takes only after its message number last. before, if not empty, is
// the ID of that message: where it was refused since another message took its number, this one is refused, too.
func (r *Route) message(stream string, e *event, last uint64, before string) *nats.Msg {
	m := &nats.Msg{Subject: r.Subject.subject(e), Header: e.headers(r.Headers), Data: e.payload}
	if r.DataOnly {
		m.Data = e.Data
	}
	m.Header.Set(jetstream.ExpectedStreamHeader, stream)
	m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
	if before != "" {
		m.Header.Set(jetstream.ExpectedLastMsgIDHeader, before)
	}
	return m
}
