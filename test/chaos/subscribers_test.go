package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// reader records what a subscription or group has received and acknowledged of the channel shared, or of all events by position. An unacknowledged
// event must be redelivered until it is acknowledged.
type reader struct {
	name string
	// A strict reader has at most one message in flight, so first deliveries arrive in order, without a gap.
	strict bool
	// everything says that it reads a pattern that all event channels match: sequences are positions.
	everything bool

	mu          sync.Mutex // guards the fields below
	seen        map[uint64]string
	acked       map[uint64]bool
	first       uint64 // the first event it is owed
	complete    uint64 // all events up to it were received
	ackedUpTo   uint64 // all events up to it were acknowledged
	before      uint64 // the sequence received last
	redelivered int    // events received more than once
	outOfOrder  int    // messages other than the next one, on a strict reader
	wrong       []string
	changed     chan struct{}
}

// newReader returns a reader that starts at an event.
func newReader(name string, strict bool, first uint64) *reader {
	return &reader{name: name, strict: strict, seen: map[uint64]string{}, acked: map[uint64]bool{}, first: first,
		complete: first - 1, ackedUpTo: first - 1, before: first - 1, changed: make(chan struct{})}
}

// receive records a message and reports whether it is new.
func (r *reader) receive(m *stan.Msg) bool {
	var e eventstorev1.Event
	err := proto.Unmarshal(m.Data, &e)
	r.mu.Lock()
	defer r.mu.Unlock()
	id, again := r.seen[m.Sequence]
	switch {
	case err != nil:
		r.wrong = append(r.wrong, fmt.Sprintf("message %d is not an event: %v", m.Sequence, err))
	case again && id != e.EventId:
		r.wrong = append(r.wrong, fmt.Sprintf("message %d is event %s, then event %s", m.Sequence, id, e.EventId))
	case !again && r.strict && m.Sequence != r.complete+1:
		r.wrong = append(r.wrong, fmt.Sprintf("received message %d, want %d", m.Sequence, r.complete+1))
	}
	if again {
		r.redelivered++
	}
	if r.strict && m.Sequence != r.before+1 && m.Sequence != r.before {
		r.outOfOrder++
	}
	r.before = m.Sequence
	r.seen[m.Sequence] = e.EventId
	for r.seen[r.complete+1] != "" {
		r.complete++
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return !again
}

// acknowledge acknowledges a message and records it. A failed acknowledgement, on a lost connection or a closed
// subscription, means redelivery.
func (r *reader) acknowledge(m *stan.Msg) {
	if m.Ack() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[m.Sequence] = true
	for r.acked[r.ackedUpTo+1] {
		r.ackedUpTo++
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the reader has acknowledged all events up to last.
func (r *reader) await(t *testing.T, last uint64) {
	t.Helper()
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		ackedUpTo, changed := r.ackedUpTo, r.changed
		r.mu.Unlock()
		if ackedUpTo >= last {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("%s: of events %d to %d, some were not acknowledged and are not redelivered: %s", r.name, r.first, last, r.lost(last))
		}
	}
}

// lost describes the events up to last that were not acknowledged.
func (r *reader) lost(last uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var unseen, unacked []uint64
	for sequence := r.first; sequence <= last; sequence++ {
		switch {
		case r.acked[sequence]:
		case r.seen[sequence] == "":
			unseen = append(unseen, sequence)
		default:
			unacked = append(unacked, sequence)
		}
	}
	return fmt.Sprintf("%d received, %d never received", unacked, unseen)
}

// reached returns the sequence up to which the reader has received all events.
func (r *reader) reached() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complete
}

// verify compares the reader's record with the database.
func (r *reader) verify(t *testing.T, events map[uint64]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.wrong[:min(len(r.wrong), 10)] {
		t.Errorf("%s: %s", r.name, text)
	}
	for sequence, id := range r.seen {
		if events[sequence] != id {
			t.Errorf("%s: received event %s as %d, the database has %q", r.name, id, sequence, events[sequence])
		}
	}
	if r.ackedUpTo != uint64(len(events)) {
		t.Errorf("%s: acknowledged all events up to %d of %d", r.name, r.ackedUpTo, len(events))
	}
}

// ackWait delays the redelivery of events that were sent while a subscriber was between two servers.
const ackWait = 2 * time.Second

// connect connects a client of stan.go with the documented options for several servers: it reconnects forever.
func (c *cluster) connect(id string) (stan.Conn, *nats.Conn, error) {
	nc, err := nats.Connect(c.urls(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, nil, fmt.Errorf("connect %s: %w", id, err)
	}
	sc, err := stan.Connect("test-cluster", id, stan.NatsConn(nc), stan.Pings(1, 1<<20), stan.ConnectWait(2*time.Second),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
			if !nc.IsClosed() {
				c.t.Errorf("client %s: %v", id, err)
			}
		}))
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("connect %s: %w", id, err)
	}
	return sc, nc, nil
}

// mustConnect is connect for a client that stays until the end.
func (c *cluster) mustConnect(id string) (sc stan.Conn) {
	c.t.Helper()
	eventually(c.t, func() (err error) {
		var nc *nats.Conn
		if sc, nc, err = c.connect(id); err == nil {
			c.t.Cleanup(nc.Close)
		}
		return err
	})
	return sc
}

// everyChannel is a pattern that matches all channels.
const everyChannel = ">"

// startReaders subscribes a durable with many messages in flight, one with a single message in flight, two members of a
// durable queue group in separate clients, and two durables of all events by position.
func (c *cluster) startReaders() []*reader {
	c.t.Helper()
	durable, strict, queue := newReader("durable", false, 1), newReader("strict durable", true, 1), newReader("durable queue group", false, 1)
	every, strictEvery := newReader("durable by position", false, 1), newReader("strict durable by position", true, 1)
	every.everything, strictEvery.everything = true, true
	for _, s := range []struct {
		client, group string
		reader        *reader
		options       []stan.SubscriptionOption
		forget        int // drops one in so many acks
	}{
		{client: "durable", reader: durable, forget: 500},
		{client: "strict", reader: strict, options: []stan.SubscriptionOption{stan.MaxInflight(1)}, forget: 2000},
		{client: "worker-1", group: "workers", reader: queue, options: []stan.SubscriptionOption{stan.MaxInflight(16)}, forget: 500},
		{client: "worker-2", group: "workers", reader: queue, options: []stan.SubscriptionOption{stan.MaxInflight(16)}, forget: 500},
		{client: "every", reader: every, forget: 500},
		{client: "strict-every", reader: strictEvery, options: []stan.SubscriptionOption{stan.MaxInflight(1)}, forget: 2000},
	} {
		sc := c.mustConnect(s.client)
		receive := func(m *stan.Msg) {
			if s.reader.receive(m) && rand.IntN(s.forget) == 0 {
				return // the event must be redelivered
			}
			s.reader.acknowledge(m)
		}
		options := append(s.options, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(ackWait))
		eventually(c.t, func() (err error) {
			switch {
			case s.reader.everything:
				_, err = sc.Subscribe(everyChannel, receive, options...)
			case s.group == "":
				_, err = sc.Subscribe(shared, receive, options...)
			default:
				_, err = sc.QueueSubscribe(shared, s.group, receive, options...)
			}
			return err
		})
	}
	return []*reader{durable, strict, queue, every, strictEvery}
}

// replays counts replays by short-lived subscriptions.
type replays struct{ ended, interrupted int }

// replay reads the latest events over and over until ctx ends, half of the time with one message in flight.
func (c *cluster) replay(ctx context.Context, random *rand.Rand, reached func() uint64) replays {
	var done replays
	for i := 0; ctx.Err() == nil; i++ {
		last := reached()
		if last == 0 {
			time.Sleep(10 * time.Millisecond) // nothing to replay yet
			continue
		}
		first := uint64(1)
		if back := 1 + random.Uint64N(300); last > back {
			first = last - back
		}
		err := c.replayOnce(ctx, fmt.Sprint("replay-", i), first, last, i%2 == 0)
		switch {
		case err == nil:
			done.ended++
		case errors.Is(err, errWrong):
			c.t.Error(err)
		default:
			done.interrupted++
			time.Sleep(50 * time.Millisecond) // a dead server refuses at once: do not spin
		}
	}
	return done
}

var errWrong = errors.New("replay")

// replayOnce returns nil, errWrong, or the error of a subscription that could not start.
func (c *cluster) replayOnce(ctx context.Context, client string, first, last uint64, strict bool) error {
	sc, nc, err := c.connect(client)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer func() { _ = sc.Close() }() // if it gets no answer, the server notices by heartbeats
	r := newReader(client, strict, first)
	inFlight := 256
	if strict {
		inFlight = 1
	}
	_, err = sc.Subscribe(shared, func(m *stan.Msg) {
		r.receive(m)
		r.acknowledge(m)
	}, stan.StartAtSequence(first), stan.SetManualAckMode(), stan.AckWait(ackWait), stan.MaxInflight(inFlight))
	if err != nil {
		return err
	}
	deadline := time.NewTimer(2 * harness.Patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		complete, wrong, changed := r.complete, r.wrong, r.changed
		r.mu.Unlock()
		switch {
		case len(wrong) > 0:
			return fmt.Errorf("%w from %d to %d: %s", errWrong, first, last, wrong[0])
		case complete >= last:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%w from %d to %d: received only the events up to %d", errWrong, first, last, complete)
		}
	}
}
