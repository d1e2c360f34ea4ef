package consume_test

import (
	"database/sql"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var poisonEvents = flag.Int("poison_events", 2000, "events of TestPoisonFromFirstToReplay, one of which is poison")

// attempts are the deliveries of a consumer, which handles all events but the poison, until that is mended.
type attempts struct {
	mu      sync.Mutex
	poison  uint64
	mended  bool
	times   []time.Time // of the poison
	handled int
	others  time.Time // when all others were handled
	done    chan struct{}
}

// handle reports whether an event is handled.
func (a *attempts) handle(seq uint64, events int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seq == a.poison {
		a.times = append(a.times, time.Now())
		if a.mended {
			close(a.done)
		}
		return a.mended
	}
	if a.handled++; a.handled == events-1 {
		a.others = time.Now()
	}
	return true
}

// TestPoisonFromFirstToReplay: one event of many fails. It is parked after three deliveries, while the others go on; SQL and the API
// show it; a replay sends it to the same consumer again, which now handles it. So it is for an unmodified client of NATS Streaming and
// for a stream.
func TestPoisonFromFirstToReplay(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		s.fill(orders, *poisonEvents)
		for _, door := range []string{"stan.go", "gRPC"} {
			t.Run(door, func(t *testing.T) { s.poison(t, door, driver, source) })
		}
	})
}

func (s *server) poison(t *testing.T, door, driver, source string) {
	// A delivery is answered within backoff, however busy the machine is: few are on their way at a time.
	const inflight, backoff = 50, 2 * time.Second
	events := *poisonEvents
	a := &attempts{poison: uint64(events / 2), done: make(chan struct{})}
	limit := uint32(3)
	name := &eventstorev1.ConfigureConsumerRequest{
		Channel: orders, Name: "d:" + door,
		Settings: &eventstorev1.ConsumerSettings{MaxDeliveries: &limit, Backoff: []*durationpb.Duration{durationpb.New(backoff)}},
	}
	if _, err := s.admin().ConfigureConsumer(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if door == "gRPC" {
		m := s.join(&open{Channel: orders, ClientId: "grpc", Group: door, Durable: "d", Credit: inflight})
		var receiving sync.WaitGroup
		receiving.Go(func() {
			for {
				d, err := m.next()
				if err != nil {
					return
				}
				if seq := d.GetEvent().GetSequence(); a.handle(seq, events) {
					m.ack(seq)
				} else {
					m.nack(&nack{Sequences: []uint64{seq}, Reason: "cannot be parsed"})
				}
			}
		})
		defer func() {
			if err := m.CloseRequest(); err != nil {
				t.Error(err)
			}
			receiving.Wait()
		}()
	} else {
		sub, err := s.connect("nats").QueueSubscribe(orders, door, func(m *stan.Msg) {
			if a.handle(m.Sequence, events) {
				_ = m.Ack() // it comes again otherwise
			}
		}, stan.DurableName("d"), stan.SetManualAckMode(), stan.MaxInflight(inflight), stan.AckWait(30*time.Second), stan.DeliverAllAvailable())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close() }()
	}
	status := func() string {
		got, err := s.admin().GetConsumer(t.Context(), &eventstorev1.GetConsumerRequest{Channel: orders, Name: "d:" + door})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d parked, %d left", got.GetConsumer().GetParked(), got.GetConsumer().GetLagMessages())
	}
	until(t, "the poison is parked and the others are handled", func() bool { return status() == "1 parked, 0 left" })
	parkedAt := time.Now()
	until(t, "the poison came three times", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.times) == 3
	})
	row := fmt.Sprintf("%s|%d|3", "d:"+door, a.poison)
	until(t, "SQL shows what is parked", func() bool {
		return slices.Equal(rows(t, driver, source, "SELECT name, sequence, deliveries FROM parked_messages WHERE name = 'd:"+door+"'"), []string{row})
	})
	a.mu.Lock()
	a.mended = true
	first, last, others := a.times[0], a.times[2], a.others
	a.mu.Unlock()
	replay := time.Now()
	if _, err := s.admin().ReplayParked(t.Context(), &eventstorev1.ReplayParkedRequest{Channel: orders, Name: "d:" + door, All: true}); err != nil {
		t.Fatal(err)
	}
	<-a.done
	t.Logf("%s, %d events: first delivery of the poison after %v, third %v later; the others were handled after %v (%.0f/s), all was seen to be parked after %v; replayed in %v",
		door, events, first.Sub(began), last.Sub(first), others.Sub(began), float64(events)/others.Sub(began).Seconds(), parkedAt.Sub(began), time.Since(replay))
	until(t, "nothing is parked", func() bool { return status() == "0 parked, 0 left" })
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so: " + what)
		}
	}
}

// rows returns the rows of a query, their columns separated by |.
func rows(t *testing.T, driver, source, query string) []string {
	t.Helper()
	if driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for found.Next() {
		values, to := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := found.Scan(to...); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join(values, "|"))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
