package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Relay publishes the events of channels to one stream: each event once, and those of a channel in order.
//
// Each publish expects the stream's last sequence to be that of the previous message. A message that arrives twice,
// late, or from a former leader is therefore refused. A relay that starts, or whose message is refused, first reads its
// position from the stream.
type Relay struct {
	Cluster   string
	Stream    string
	Routes    []Route // the first that matches an event counts
	Positions Positions
	Log       *slog.Logger
	Tracer    Tracer // nil without tracing

	doubled bool // warned of a word that subjects have twice

	streams jetstream.JetStream
	stored  nats.JetStreamContext // reads from the stream leader; a replica may lag

	mu      sync.Mutex // guards sources
	sources []*source
	wake    chan struct{} // one slot, no data

	// Only Run's goroutine uses the fields below.
	at, saved *position // nil until known
	savedAt   time.Time
	removes   bool // the stream removes messages on its own
	working   bool // no error since the session began

	failing   atomic.Bool
	published atomic.Uint64
	failures  atomic.Uint64
}

const (
	// batch is the number of messages published before waiting for their acknowledgements.
	batch = 512
	// saveInterval and saveMessages bound the lag of the saved position.
	saveInterval = time.Second
	saveMessages = 4096
	// checkInterval is how often an idle relay checks that the stream still exists.
	checkInterval = 10 * time.Second
	// requestTimeout bounds one request to JetStream, and one write to the database.
	requestTimeout = 5 * time.Second
	// minBackoff and maxBackoff bound the pause after an error.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// New prepares a relay on a connection to NATS. The caller sets the exported fields before Run.
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

// Add adds a channel and reports whether a route matches it. If so, the caller calls Wake after each commit there.
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

// Wake tells the relay that channels have new messages.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends or another server leads. It retries after any other error.
func (r *Relay) Run(ctx context.Context) {
	wait := minBackoff
	for ctx.Err() == nil {
		r.working = false
		err := r.session(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, stores.ErrFenced):
			return // the new leader relays
		case isWrongLast(err): // another message is last in the stream: find the position again
			if !r.working {
				pause(ctx, minBackoff)
			}
		default:
			r.failures.Add(1)
			if !r.failing.Swap(true) {
				r.Log.Error("Relay failed; events wait", "stream", r.Stream, "error", err)
			}
			if r.working {
				wait = minBackoff
			}
			r.updateAges(ctx)
			pause(ctx, wait)
			wait = min(2*wait, maxBackoff)
		}
	}
	for _, src := range r.all() {
		src.rewind(nil)
	}
	if r.at != nil {
		if err := r.save(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, stores.ErrFenced) {
			r.Log.Warn("Relay position not saved; the next relay scans the stream for it", "stream", r.Stream, "error", err)
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

// session finds the position, then relays until an error.
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
		r.markWorking()
		if r.at.Sequence-r.saved.Sequence >= saveMessages || time.Since(r.savedAt) >= saveInterval && r.unsaved() {
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

// markWorking records that the relay is working, and logs a recovery.
func (r *Relay) markWorking() {
	r.working = true
	if r.failing.CompareAndSwap(true, false) {
		r.Log.Info("Relay recovered", "stream", r.Stream)
	}
}

// unsaved reports whether the position has changed since it was saved.
func (r *Relay) unsaved() bool {
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

// relay publishes the next messages of a channel. It returns how many it processed.
func (r *Relay) relay(ctx context.Context, src *source) (n int, err error) {
	done, last := src.done.Load(), src.Last()
	if done >= last {
		return 0, nil
	}
	turn := "" // several channels may mix in a stream that keeps its messages
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
	if len(msgs) == 0 { // the last sequences are missing
		r.advance(src, last)
		return 1, nil
	}
	src.since.Store(msgs[0].Timestamp)
	acks := make([]jetstream.PubAckFuture, len(msgs)) // nil: not routed
	sent, next, before := 0, r.at.Sequence, ""
	open := spans{}
	defer func() { open.end(err) }()
	for i, m := range msgs {
		if e, route := r.match(src, m); route != nil {
			out := route.message(r.Stream, e, next, before)
			r.trace(out, e, open)
			if acks[i], err = r.streams.PublishMsgAsync(out, jetstream.WithRetryAttempts(0)); err != nil {
				err = fmt.Errorf("publish event %d of channel %q: %w", m.Sequence, src.Name(), err)
				break
			}
			r.warnDoubled(route, e)
			next, before = next+1, e.id()
		}
		sent++
	}
	for i, m := range msgs[:sent] {
		if err := r.acknowledged(ctx, acks[i]); err != nil {
			return i, fmt.Errorf("publish event %d of channel %q: %w", m.Sequence, src.Name(), err)
		}
		open.acknowledged(m.Sequence)
		r.advance(src, m.Sequence)
	}
	return sent, err
}

// acknowledged waits for a message's acknowledgement and records its stream sequence.
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

// isWrongLast reports whether the stream refused a message because its last message was not the expected one.
func isWrongLast(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(wrongLastCodes, api.ErrorCode)
}

// wrongLastCodes are the codes for a wrong last sequence (with and without its number in the text) and a wrong last
// Nats-Msg-Id.
var wrongLastCodes = []jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, 10164, 10070}

// match decodes a message and finds its route. It returns nil if no route matches.
func (r *Relay) match(src *source, m stores.Message) (*event, *Route) {
	var msg pb.MsgProto
	if msg.Unmarshal(m.Data) != nil {
		return nil, nil
	}
	ev, err := src.Extract(msg.Data)
	if err != nil {
		return nil, nil // stored before its channel became an event channel
	}
	ev.Version = cmp.Or(ev.Version, m.Version) // a payload without a version has that of the column
	for _, route := range src.routes {
		if MatchesAnyType(route.Types, ev.Type) {
			return &event{
				Event: ev, cluster: r.Cluster, channel: src.Name(), sequence: m.Sequence, position: m.Position, timestamp: m.Timestamp, payload: msg.Data, erased: m.Erased,
			}, route
		}
	}
	return nil, nil
}

// warnDoubled warns once if a subject has the same word twice, such as ORDERS.ORDERS.created, because the type has it, too.
func (r *Relay) warnDoubled(route *Route, e *event) {
	if r.doubled {
		return
	}
	if word := route.Subject.Doubles(e.Type); word != "" {
		r.doubled = true
		r.Log.Warn(fmt.Sprintf("Stream %q: event types begin with %q as the subject does, so it is there twice: leave it out of the subject", r.Stream, word),
			"subject", route.Subject.subject(e), "event_type", e.Type)
	}
}
