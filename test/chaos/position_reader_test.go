package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// positionReader subscribes to all events through the API, by position. After an interruption it goes on after the last event
// that it has seen, at the other server.
type positionReader struct {
	mu      sync.Mutex // guards what follows
	ids     []string   // event_ids by position, from 1
	wrong   []string
	broken  int // subscriptions that ended
	changed chan struct{}
}

// silence is how long a server may say nothing to a subscriber, which hears of its progress once a second.
const silence = 5 * time.Second

func (c *cluster) startPositionReader() (r *positionReader, stop func()) {
	r = &positionReader{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(c.t.Context())
	d := newDecider(c, deciders, 0) // for its connections
	var wg sync.WaitGroup
	wg.Go(func() {
		defer d.transport.CloseIdleConnections()
		for n := 0; ctx.Err() == nil; n++ {
			r.follow(ctx, d.servers[n%len(d.servers)])
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond): // as a client that tries again: a dead server refuses at once
			}
		}
	})
	return r, func() {
		cancel()
		wg.Wait()
	}
}

// follow receives events until the subscription ends.
func (r *positionReader) follow(ctx context.Context, server eventstorev1connect.EventStoreClient) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	r.mu.Lock()
	next := uint64(len(r.ids)) + 1
	r.mu.Unlock()
	stream, err := server.Subscribe(ctx, &eventstorev1.SubscribeRequest{
		Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromPosition{FromPosition: next},
	})
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		watchdog.Reset(silence)
		r.receive(stream.Msg())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken++
}

func (r *positionReader) receive(msg *eventstorev1.SubscribeResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range msg.GetEvents() {
		if want := uint64(len(r.ids)) + 1; e.GetPosition() != want {
			r.wrong = append(r.wrong, fmt.Sprintf("received position %d, want %d", e.GetPosition(), want))
			continue
		}
		r.ids = append(r.ids, e.GetEvent().GetEventId())
	}
	if at := uint64(len(r.ids)); msg.GetCheckpointPosition() > at {
		r.wrong = append(r.wrong, fmt.Sprintf("the checkpoint is %d after position %d", msg.GetCheckpointPosition(), at))
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the reader has received all events up to last.
func (r *positionReader) await(t *testing.T, last uint64) {
	t.Helper()
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		at, changed := uint64(len(r.ids)), r.changed
		r.mu.Unlock()
		if at >= last {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("the subscriber by position received the events up to %d of %d", at, last)
		}
	}
}

// verify compares what was received with the database.
func (r *positionReader) verify(t *testing.T, events map[uint64]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.wrong[:min(len(r.wrong), 10)] {
		t.Errorf("subscriber by position: %s", text)
	}
	if len(r.ids) != len(events) {
		t.Errorf("subscriber by position: %d of %d events", len(r.ids), len(events))
	}
	for i, id := range r.ids {
		if want := events[uint64(i)+1]; id != want {
			t.Errorf("subscriber by position: position %d is event %q, in the database %q", i+1, id, want)
		}
	}
	t.Logf("subscriber by position: %d events in %d subscriptions", len(r.ids), r.broken)
}
