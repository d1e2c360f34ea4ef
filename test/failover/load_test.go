package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const (
	orders     = "eventstore.orders"
	publishers = 4
)

// load is publishers that retry each event until it is acknowledged, and a durable subscriber, all using stan.go.
type load struct {
	t     *testing.T
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu        sync.Mutex // guards the fields below
	acked     int
	failed    int                 // failed publishes
	published map[string]struct{} // event_id of each acknowledged event
	received  []uint64            // sequences, each once
	seen      map[string]uint64   // sequence of each received event_id
	changed   chan struct{}
}

// startLoad connects the clients with the given name.
func startLoad(t *testing.T, url, name string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop, published: map[string]struct{}{}, seen: map[string]uint64{}, changed: make(chan struct{})}
	connect := func(id string) stan.Conn {
		sc, err := stan.Connect("test-cluster", id, stan.NatsURL(url), stan.PubAckWait(3*time.Second))
		for deadline := time.Now().Add(harness.Patience); err != nil; { // servers of a cluster may not know each other yet
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			sc, err = stan.Connect("test-cluster", id, stan.NatsURL(url), stan.PubAckWait(3*time.Second))
		}
		t.Cleanup(func() { _ = sc.Close() }) // the server may have ended before
		return sc
	}
	_, err := connect(name+"-subscriber").Subscribe(orders, l.receive, stan.DurableName("all"), stan.DeliverAllAvailable(), stan.MaxInflight(1000), stan.AckWait(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for i := range publishers {
		sc := connect(fmt.Sprint(name, "-publisher-", i))
		l.ended.Go(func() { l.publish(ctx, sc, fmt.Sprint(name, "-", i)) })
	}
	t.Cleanup(l.end)
	return l
}

// publish publishes one event after another and retries each until it is acknowledged. Its event_id prevents duplicates.
func (l *load) publish(ctx context.Context, sc stan.Conn, aggregate string) {
	for n := 1; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", aggregate, n)
		payload, err := proto.Marshal(&eventstorev1.Event{EventId: id, EventType: "Counted", AggregateId: aggregate, EventVersion: uint64(n)})
		if err != nil {
			l.t.Error(err)
			return
		}
		for {
			err := sc.Publish(orders, payload)
			l.update(func() {
				if err == nil {
					l.acked++
					l.published[id] = struct{}{}
				} else {
					l.failed++
				}
			})
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), "unavailable") && !strings.Contains(err.Error(), "timeout") && !strings.Contains(err.Error(), "lease") && !errors.Is(err, nats.ErrReconnectBufExceeded) {
				l.t.Errorf("publish %s: %v", id, err)
				return
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func (l *load) receive(m *stan.Msg) {
	var e eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &e); err != nil {
		l.t.Error(err)
		return
	}
	l.update(func() {
		if was, seen := l.seen[e.EventId]; seen {
			if was != m.Sequence {
				l.t.Errorf("event %s has sequence %d, and %d before", e.EventId, m.Sequence, was)
			}
			return
		}
		l.seen[e.EventId] = m.Sequence
		l.received = append(l.received, m.Sequence)
	})
}

func (l *load) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits for that many more acknowledged publishes.
func (l *load) await(acked int) {
	l.t.Helper()
	l.mu.Lock()
	acked += l.acked
	l.mu.Unlock()
	l.until("so many acknowledgements", func() bool { return l.acked >= acked })
}

func (l *load) until(what string, reached func() bool) {
	l.t.Helper()
	deadline := time.After(2 * harness.Patience)
	for {
		l.mu.Lock()
		ok, changed, acked, received := reached(), l.changed, l.acked, len(l.received)
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			l.t.Fatalf("timeout waiting for %s: %d acknowledged, %d received", what, acked, received)
		}
	}
}

func (l *load) end() {
	l.stop()
	l.ended.Wait()
}

// check stops the publishers and checks that each acknowledged event was received, and every sequence from 1. What a lost server or
// connection had in flight comes again, after later events: only a subscriber with MaxInflight(1) sees all of them in order.
func (l *load) check() {
	l.t.Helper()
	l.end()
	l.until("event for the subscriber", func() bool {
		for id := range l.published {
			if _, ok := l.seen[id]; !ok {
				return false
			}
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, sequence := range slices.Sorted(slices.Values(l.received)) {
		if sequence != uint64(i+1) {
			l.t.Fatalf("sequence %d was not received, sequence %d was", i+1, sequence)
		}
	}
	l.t.Logf("%d events acknowledged, %d publishes failed and were retried, %d events received", l.acked, l.failed, len(l.received))
}
