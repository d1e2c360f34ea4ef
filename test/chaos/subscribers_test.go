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

// reader is what one subscription, or group of them, has seen and acknowledged of the channel shared, from some event on.
// An event that is not acknowledged must come again, until it is.
type reader struct {
	name string
	// strict readers have at most one message in flight: what they see first comes in order, without a gap.
	strict bool

	mu       sync.Mutex // guards what follows
	seen     map[uint64]string
	acked    map[uint64]bool
	first    uint64 // the event that it begins with
	complete uint64 // all events up to it were seen
	settled  uint64 // all events up to it were acknowledged
	before   uint64 // the sequence seen last
	again    int    // events seen more than once
	back     int    // times that a strict reader saw something other than the next one, an event or more back
	wrong    []string
	changed  chan struct{}
}

// newReader returns a reader that begins with an event.
func newReader(name string, strict bool, first uint64) *reader {
	return &reader{name: name, strict: strict, seen: map[uint64]string{}, acked: map[uint64]bool{}, first: first,
		complete: first - 1, settled: first - 1, before: first - 1, changed: make(chan struct{})}
}

// receive notes a message, and reports whether it is a new one.
func (r *reader) receive(m *stan.Msg) bool {
	var e eventstorev1.Event
	err := proto.Unmarshal(m.Data, &e)
	r.mu.Lock()
	defer r.mu.Unlock()
	id, again := r.seen[m.Sequence]
	switch {
	case err != nil:
		r.wrong = append(r.wrong, fmt.Sprintf("message %d is no event: %v", m.Sequence, err))
	case again && id != e.EventId:
		r.wrong = append(r.wrong, fmt.Sprintf("message %d is event %s, then event %s", m.Sequence, id, e.EventId))
	case !again && r.strict && m.Sequence != r.complete+1:
		r.wrong = append(r.wrong, fmt.Sprintf("message %d comes when %d is due", m.Sequence, r.complete+1))
	}
	if again {
		r.again++
	}
	if r.strict && m.Sequence != r.before+1 && m.Sequence != r.before {
		r.back++
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

// acknowledge acknowledges a message, and notes that. What is not acknowledged, since its connection is lost or its
// subscription closed, comes again.
func (r *reader) acknowledge(m *stan.Msg) {
	if m.Ack() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[m.Sequence] = true
	for r.acked[r.settled+1] {
		r.settled++
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the reader has acknowledged all events up to one.
func (r *reader) await(t *testing.T, last uint64) {
	t.Helper()
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		settled, changed := r.settled, r.changed
		r.mu.Unlock()
		if settled >= last {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("%s: of events %d to %d these were not acknowledged, and do not come again: %s", r.name, r.first, last, r.lost(last))
		}
	}
}

// lost are the events up to one that were not acknowledged.
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

// reached returns up to where the reader has seen all events.
func (r *reader) reached() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complete
}

// verify compares with what the database holds.
func (r *reader) verify(t *testing.T, events map[uint64]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.wrong[:min(len(r.wrong), 10)] {
		t.Errorf("%s: %s", r.name, text)
	}
	for sequence, id := range r.seen {
		if events[sequence] != id {
			t.Errorf("%s: received event %s as %d, stored is %q", r.name, id, sequence, events[sequence])
		}
	}
	if r.settled != uint64(len(events)) {
		t.Errorf("%s: acknowledged all events up to %d of %d", r.name, r.settled, len(events))
	}
}

// ackWait is how long events wait that were sent while a subscriber was between two servers.
const ackWait = 2 * time.Second

// connect connects a client of stan.go, as the documentation recommends for several servers: it never gives up.
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

// startReaders subscribes: durables, with many messages in flight and with one, and two members of a durable queue group in
// clients of their own.
func (c *cluster) startReaders() []*reader {
	c.t.Helper()
	durable, strict, queue := newReader("durable", false, 1), newReader("strict durable", true, 1), newReader("durable queue group", false, 1)
	for _, s := range []struct {
		client, group string
		reader        *reader
		options       []stan.SubscriptionOption
		forget        int // acks, one in so many
	}{
		{client: "durable", reader: durable, forget: 500},
		{client: "strict", reader: strict, options: []stan.SubscriptionOption{stan.MaxInflight(1)}, forget: 2000},
		{client: "worker-1", group: "workers", reader: queue, options: []stan.SubscriptionOption{stan.MaxInflight(16)}, forget: 500},
		{client: "worker-2", group: "workers", reader: queue, options: []stan.SubscriptionOption{stan.MaxInflight(16)}, forget: 500},
	} {
		sc, nc, err := c.connect(s.client)
		for deadline := time.Now().Add(harness.Patience); err != nil && time.Now().Before(deadline); {
			sc, nc, err = c.connect(s.client) // the route between the servers may not be there yet
		}
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(nc.Close)
		receive := func(m *stan.Msg) {
			if s.reader.receive(m) && rand.IntN(s.forget) == 0 {
				return // to be seen again
			}
			s.reader.acknowledge(m)
		}
		options := append(s.options, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(ackWait))
		if s.group == "" {
			_, err = sc.Subscribe(shared, receive, options...)
		} else {
			_, err = sc.QueueSubscribe(shared, s.group, receive, options...)
		}
		if err != nil {
			c.t.Fatalf("subscribe %s: %v", s.client, err)
		}
	}
	return []*reader{durable, strict, queue}
}

// replays is how often the channel was read again from some event on, by subscriptions of their own.
type replays struct{ ended, interrupted int }

// replay reads again and again until ctx ends: the last events up to those that are there when it begins, half of the times
// with one message in flight.
func (c *cluster) replay(ctx context.Context, random *rand.Rand, reached func() uint64) replays {
	var done replays
	for i := 0; ctx.Err() == nil; i++ {
		last := reached()
		if last == 0 {
			time.Sleep(10 * time.Millisecond) // there is nothing to replay yet
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
			time.Sleep(50 * time.Millisecond) // not as fast as a server that is not there can refuse
		}
	}
	return done
}

var errWrong = errors.New("replay")

// replayOnce returns nil, errWrong, or an error of a subscription that could not be made.
func (c *cluster) replayOnce(ctx context.Context, client string, first, last uint64, strict bool) error {
	sc, nc, err := c.connect(client)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer func() { _ = sc.Close() }() // without an answer the server finds out by heartbeats
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
			return fmt.Errorf("%w from %d to %d: received all events up to %d only", errWrong, first, last, complete)
		}
	}
}
