package eventlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// withEvents are options with event channels.
func withEvents(t *testing.T, o Options) Options {
	t.Helper()
	var err error
	if o.Events, err = NewEvents([]EventBlock{{Channels: []string{"eventstore.>"}}}); err != nil {
		t.Fatal(err)
	}
	return o
}

// publishEvents publishes n events, one after another: of type Odd and Even in turn, on three channels.
func (f *fixture) publishEvents(t *testing.T, n int) {
	t.Helper()
	for range n {
		next := f.Position() + 1
		e := &eventstorev1.Event{EventType: []string{"Even", "Odd"}[next%2], AggregateId: "a", Tags: []string{fmt.Sprint("t", next%5)}}
		payload, err := googleproto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if r := <-f.submit(fmt.Sprint("eventstore.", next%3), payload); r.Err != nil || r.Position != next {
			t.Fatalf("position %d, want %d, error %v", r.Position, next, r.Err)
		}
		f.publish(t, "plain", 1)
	}
}

// matching returns the positions up to one that a query selects of what publishEvents publishes.
func matching(q stores.Query, last uint64) (positions []uint64) {
	for p := uint64(1); p <= last; p++ {
		tagged := len(q.Items) == 0 || len(q.Items[0].Tags) == 0 || q.Items[0].Tags[0] == fmt.Sprint("t", p%5)
		typed := len(q.Items) == 0 || len(q.Items[0].Types) == 0 || q.Items[0].Types[0] == []string{"Even", "Odd"}[p%2]
		if tagged && typed {
			positions = append(positions, p)
		}
	}
	return positions
}

// Whatever a query selects, however it is read and whatever happens meanwhile, a cursor returns each event once and in
// order, from memory or the database. It releases all memory.
func TestEventCursorReadsAll(t *testing.T) {
	t.Parallel()
	f := setup{options: withEvents(t, Options{TailBytes: 6000})}.open(t)
	free := f.reading.free
	f.publishEvents(t, 50)
	queries := []stores.Query{
		{}, {Items: []stores.QueryItem{{Types: []string{"Odd"}}}}, {Items: []stores.QueryItem{{Tags: []string{"t3"}}}},
		{Items: []stores.QueryItem{{Tags: []string{"t3"}, Types: []string{"Even"}}}}, {Items: []stores.QueryItem{{Types: []string{"None"}}}},
	}
	plans := map[string]int{}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		f.reading.free = free
		if seed%3 == 0 {
			f.reading.free = 0 // no memory: events not taken are read again
		}
		q := queries[r.IntN(len(queries))]
		c, err := f.EventCursor(q, 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for last := f.Position(); c.Position() <= last; {
			var events []Event
			switch r.IntN(12) {
			case 0:
				c.Release()
			case 1:
				if last < 400 {
					f.publishEvents(t, 1+r.IntN(5))
					last = f.Position()
				}
			case 2:
				events, err = c.ReadTo(t.Context(), last, 1+r.IntN(20))
			default:
				events, err = c.Next(1 + r.IntN(20))
				if len(events) == 0 && c.Position() <= last {
					<-c.Ready()
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				got = append(got, e.Position)
				if want := fmt.Sprint("eventstore.", e.Position%3); e.Channel.Name() != want {
					t.Fatalf("position %d is on channel %s", e.Position, e.Channel.Name())
				}
			}
			plans[c.Plan()]++
		}
		if want := matching(q, f.Position()); !slices.Equal(got, want) {
			t.Fatalf("seed %d: read %v, want %v", seed, got, want)
		}
		c.Close()
		if now := f.reading.free; seed%3 != 0 && now != free {
			t.Fatalf("seed %d: %d batches free, want %d", seed, now, free)
		}
	}
	if plans["memory"] == 0 || plans["scan"] == 0 {
		t.Errorf("the test does not reach every plan: %v", plans)
	}
	f.reading.free = free
	if n := f.order.memory.bytes; n != 0 {
		t.Errorf("%d bytes in memory without a cursor", n)
	}
}

// Who follows the log asks the database nothing, whatever he selects.
func TestEventCursorFollowsInMemory(t *testing.T) {
	t.Parallel()
	f := setup{options: withEvents(t, Options{})}.open(t)
	f.publishEvents(t, 3)
	q := stores.Query{Items: []stores.QueryItem{{Tags: []string{"t1"}}}}
	c, err := f.EventCursor(q, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []uint64
	for range 30 {
		f.publishEvents(t, 1)
		for c.Position() <= f.Position() {
			events, err := c.Next(10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				got = append(got, e.Position)
			}
		}
	}
	if want := []uint64{6, 11, 16, 21, 26, 31}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if n := f.counts.read(); n > 0 {
		t.Errorf("%d reads of the database", n)
	}
}

// Backward, a cursor returns the same events.
func TestBackwardCursor(t *testing.T) {
	t.Parallel()
	f := setup{options: withEvents(t, Options{})}.open(t)
	f.publishEvents(t, 40)
	q := stores.Query{Items: []stores.QueryItem{{Types: []string{"Odd"}}}}
	for _, from := range []uint64{0, 1, 17, 40, 1 << 62} {
		c, err := f.BackwardCursor(q, from)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for c.Position() > 0 {
			events, err := c.ReadTo(t.Context(), 1, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				got = append(got, e.Position)
			}
		}
		want := matching(q, min(from, 40))
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("from %d: read %v, want %v", from, got, want)
		}
	}
}

// Whatever the database loses, a cursor that follows the log skips no position and repeats none, and each acknowledged
// event is where its publisher was told.
func TestEventCursorThroughFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			var faults storetest.Faults
			f := setup{
				store:   stores.Options{WrapConnector: faults.Wrap},
				options: withEvents(t, Options{StoreTimeout: 300 * time.Millisecond, TailBytes: 4000}),
			}.open(t)
			c, err := f.EventCursor(stores.Query{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			acked := make(chan stores.Result, 1000)
			go func() {
				defer close(acked)
				r := rand.New(rand.NewPCG(seed, 1))
				for i := range 300 {
					if i%40 == 20 {
						inject(r, &faults)
					}
					if r := <-f.submit(fmt.Sprint("eventstore.", r.IntN(3)), event(t, fmt.Sprint(i))); r.Err == nil {
						acked <- r
					}
				}
				faults.Clear()
				for r := (stores.Result{}); r.Position == 0; {
					r = <-f.submit("eventstore.last", event(t, "last")) // succeeds once the database is back
				}
			}()
			var all []Event
			read := func() {
				events, err := c.Next(7)
				if err != nil && !errors.Is(err, stores.ErrUnavailable) {
					t.Fatal(err)
				}
				for _, e := range events {
					if all = append(all, e); e.Position != uint64(len(all)) {
						t.Fatalf("position %d, want %d", e.Position, len(all))
					}
				}
			}
			for wanted, open := []stores.Result(nil), true; open || len(all) == 0 || all[len(all)-1].Channel.Name() != "eventstore.last"; {
				select {
				case r, ok := <-acked:
					if open = ok; !ok {
						acked = nil
					}
					wanted = append(wanted, r)
				case <-c.Ready():
					read()
				}
				for len(wanted) > 0 && wanted[0].Position <= uint64(len(all)) {
					if r := wanted[0]; r.Position > 0 && (all[r.Position-1].Sequence != r.Sequence || string(all[r.Position-1].Data) != string(r.Message.Data)) {
						t.Fatalf("position %d is not the event acknowledged there", r.Position)
					}
					wanted = wanted[1:]
				}
			}
		})
	}
}
