package test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Promise 1: an acknowledged event is in the database, whatever happens to the server.
func TestAcknowledgedMeansCommitted(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		var acked sync.Map
		for round := range 3 {
			sc := s.connect(fmt.Sprintf("publisher-%d", round), stan.MaxPubAcksInflight(512),
				stan.SetConnectionLostHandler(func(stan.Conn, error) {})) // late acknowledgements count, too
			var count atomic.Int64
			enough, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for i := 0; ; i++ {
					id := fmt.Sprintf("event-%d-%d", round, i)
					_, err := sc.PublishAsync(orders, event(t, "order-"+id, "OrderCreated", withID(id)), func(_ string, err error) {
						if err != nil {
							return
						}
						acked.Store(id, true)
						if count.Add(1) == 1000 {
							close(enough)
						}
					})
					if err != nil {
						return // the connection is closed
					}
				}
			}()
			select {
			case <-enough:
			case <-time.After(patience):
				t.Fatal("publishing stopped")
			}
			s.Kill()
			_ = sc.Close() // the server is dead: no answer comes
			<-ended
			s.Restart()
		}
		rows := query(t, driver, source, "SELECT event_id FROM events")
		stored := make(map[string]int, len(rows))
		for _, id := range rows {
			stored[id]++
			if stored[id] > 1 {
				t.Errorf("%s is stored twice", id)
			}
		}
		acked.Range(func(id, _ any) bool {
			if stored[id.(string)] == 0 {
				t.Errorf("%s was acknowledged but is not stored", id)
			}
			return true
		})
		contiguous(t, driver, source, orders, len(rows))
	})
}

// Promise 2: sequences are contiguous from 1 and delivered in order. Refused messages take none.
func TestNoGapsOneOrder(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		const publishers, each = 8, 50
		live := s.connect("live")
		_, in := subscribe(t, live, orders)
		var wg sync.WaitGroup
		for p := range publishers {
			sc := s.connect(fmt.Sprintf("publisher-%d", p))
			wg.Go(func() {
				for i := range each {
					if err := sc.Publish(orders, event(t, fmt.Sprintf("order-%d-%d", p, i), "OrderCreated")); err != nil {
						t.Error(err)
					}
					if err := sc.Publish(orders, event(t, "", "OrderCreated")); err == nil {
						t.Error("an event without aggregate_id was accepted")
					}
				}
			})
		}
		wg.Wait()
		for i, seq := range in.sequences(t, publishers*each) {
			if seq != uint64(i+1) {
				t.Fatalf("message %d has sequence %d", i+1, seq)
			}
		}
		contiguous(t, driver, source, orders, publishers*each)
	})
}

// Promise 3: the database refuses to change or delete events, whoever tries.
func TestEventsAreImmutable(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		publish(t, s.connect("publisher"), orders, event(t, "order-1", "OrderCreated"))
		statements := []string{"UPDATE Messages SET event_type = 'Forged'", "UPDATE Messages SET data = NULL", "DELETE FROM Messages"}
		if driver == "postgres" {
			statements = append(statements, "TRUNCATE Messages")
		}
		for _, text := range statements {
			if _, err := tryQuery(driver, source, text); err == nil {
				t.Errorf("%s was not refused", text)
			}
		}
		contiguous(t, driver, source, orders, 1)
	})
}

// Promise 4: of two servers on one database, one serves; the other one takes over when it dies.
func TestOneWriterPerDatabase(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		first := start(t, driver, source)
		publish(t, first.connect("one"), orders, event(t, "order-1", "OrderCreated"))
		second := launch(t, driver, source)
		second.WaitLog(t, "Starting in standby mode")
		if _, err := stan.Connect("test-cluster", "two", stan.NatsURL(second.URL()), stan.ConnectWait(500*time.Millisecond)); err == nil {
			t.Fatal("a standby accepted a client")
		}
		first.Kill()
		second.Ready()
		publish(t, second.connect("three"), orders, event(t, "order-1", "OrderApproved"))
		contiguous(t, driver, source, orders, 2)

		// A clean stop hands over the lease. A server that restarts becomes the standby.
		first.Launch()
		first.WaitLog(t, "Starting in standby mode")
		second.Stop()
		first.Ready()
		publish(t, first.connect("four"), orders, event(t, "order-1", "OrderShipped"))
		contiguous(t, driver, source, orders, 3)
	})
}

// Promise 5: with MaxInflight 1 and manual acks, a subscriber receives events in order, whatever is redelivered.
func TestStrictOrderWithMaxInflightOne(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		const n = 10
		for i := range n {
			publish(t, sc, orders, event(t, fmt.Sprintf("order-%d", i), "OrderCreated"))
		}
		seen := make(chan *stan.Msg, 100)
		var refused sync.Map
		_, err := sc.Subscribe(orders, func(m *stan.Msg) {
			seen <- m
			// Every third message is not acknowledged at its first delivery.
			if _, redelivered := refused.LoadOrStore(m.Sequence, true); m.Sequence%3 != 0 || redelivered {
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
			}
		}, stan.DeliverAllAvailable(), stan.MaxInflight(1), stan.SetManualAckMode(), stan.AckWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for len(got) < n+n/3 {
			got = append(got, inbox(seen).next(t).Sequence)
		}
		if want := []uint64{1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10}; !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
	})
}

// Promise 6: an event with version N is accepted only as the Nth of its aggregate.
func TestOptimisticConcurrency(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		for v := range uint64(3) {
			publish(t, sc, orders, event(t, "A", "OrderChanged", withVersion(v+1)))
		}
		err := sc.Publish(orders, event(t, "A", "OrderChanged", withVersion(3)))
		if want := `stan: wrong expected version: aggregate "A" is at version 3, event has version 3`; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		s.Kill()
		s.Restart()
		sc = s.connect("client-2")
		err = sc.Publish(orders, event(t, "A", "OrderChanged", withVersion(5)))
		if want := `stan: wrong expected version: aggregate "A" is at version 3, event has version 5`; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}

		// Of 16 clients that race for each version, one wins.
		const racers, versions = 16, 10
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for r := range racers {
			racer := s.connect(fmt.Sprintf("racer-%d", r))
			wg.Go(func() {
				for v := range uint64(versions) {
					err := racer.Publish(orders, event(t, "race", "OrderChanged", withVersion(v+1), withData(fmt.Sprintf(`{"racer":%d}`, r))))
					switch {
					case err == nil:
						won.Add(1)
					case strings.HasPrefix(err.Error(), "stan: wrong expected version"):
						lost.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		rows := query(t, driver, source, "SELECT COUNT(*), MAX(event_version) FROM events WHERE aggregate_id = 'race' AND aggregate_type = 'order'")
		if want := fmt.Sprintf("%d|%d", won.Load(), won.Load()); rows[0] != want || won.Load() == 0 {
			t.Errorf("stored count|version %s, %d publishes succeeded, %d failed", rows[0], won.Load(), lost.Load())
		}
	})
}

// Promise 7: an event published again is acknowledged and not stored twice.
func TestIdempotentPublish(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		created := event(t, "A", "OrderCreated", withID("e1"), withVersion(1))
		publish(t, sc, orders, created, created, event(t, "A", "OrderChanged", withID("e2")))
		s.Stop()
		s.Restart()
		sc = s.connect("client-2")
		publish(t, sc, orders, created, event(t, "A", "OrderChanged", withID("e2")))
		if err := sc.Publish(orders, event(t, "A", "OrderCancelled", withID("e2"))); err == nil || !strings.Contains(err.Error(), "e2") {
			t.Errorf("another event with a stored event_id: error %v", err)
		}
		contiguous(t, driver, source, orders, 2)
	})
}

// Promise 8: bad input gets a clear error, and good input around it is stored.
func TestBadInputNeverHarmsGoodInput(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client", stan.MaxPubAcksInflight(4096))
		long := strings.Repeat("x", 256)
		metadata := func(k, v string) func(*eventstorev1.Event) {
			return func(e *eventstorev1.Event) { e.Metadata = map[string]string{k: v} }
		}
		bad := map[string][]byte{
			"invalid event: not an eventstore.v1.Event":               []byte("\xff\xff not protobuf"),
			"invalid event: aggregate_id is missing":                  event(t, "", "T"),
			"invalid event: event_type is missing":                    event(t, "A", ""),
			"invalid event: aggregate_id is longer than 255 bytes":    event(t, long, "T"),
			"invalid event: event_type is longer than 255 bytes":      event(t, "A", long),
			"invalid event: event_id is longer than 255 bytes":        event(t, "A", "T", withID(long)),
			"invalid event: aggregate_id contains a NUL byte":         event(t, "A\x00", "T"),
			"invalid event: event_version is out of range":            event(t, "A", "T", withVersion(1<<63)),
			"invalid event: metadata contains a NUL byte":             event(t, "A", "T", metadata("k", "\x00")),
			"wrong expected version: aggregate \"A\" is at version 0": event(t, "A", "T", withVersion(9)),
			"is not valid UTF-8":                                      append(event(t, "", "T"), 0x1a, 2, 0xc3, 0x28),
		}
		type outcome struct {
			want string
			err  error
		}
		outcomes := make(chan outcome, 4096)
		good := 0
		for range 5 {
			for want, payload := range bad {
				good++
				for _, p := range []struct {
					want    string
					payload []byte
				}{{want, payload}, {"", event(t, fmt.Sprintf("good-%d", good), "T")}} {
					if _, err := sc.PublishAsync(orders, p.payload, func(_ string, err error) { outcomes <- outcome{p.want, err} }); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for range 2 * good {
			o := <-outcomes
			switch {
			case o.want == "" && o.err != nil:
				t.Errorf("a good event was refused: %v", o.err)
			case o.want != "" && (o.err == nil || !strings.HasPrefix(o.err.Error(), "stan: ") || !strings.Contains(o.err.Error(), o.want)):
				t.Errorf("error %v, want %q", o.err, o.want)
			}
		}
		contiguous(t, driver, source, orders, good)

		// Data that a database does not accept as JSON is stored in base64.
		data := map[string]string{
			"json":       `{"a": [1, 2.5, "é"]}`,
			"nul":        `{"a":"\u0000"}`,
			"raw-nul":    "a\x00b",
			"surrogate":  `{"a":"\ud800"}`,
			"utf8":       "\xff\xfe",
			"deep":       strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
			"number":     `{"a":1e999999}`,
			"digits":     strings.Repeat("9", 200000),
			"text":       "hello",
			"empty":      "",
			"duplicates": `{"a":1,"a":2}`,
		}
		for id, d := range data {
			publish(t, sc, orders, event(t, id, "Data", withData(d)))
		}
		rows := query(t, driver, source, "SELECT COUNT(*) FROM events WHERE event_type = 'Data'")
		if rows[0] != fmt.Sprint(len(data)) {
			t.Errorf("%s of %d kinds of data are stored", rows[0], len(data))
		}
		_, in := subscribe(t, sc, orders, stan.StartAtSequence(uint64(good+1)))
		for range data {
			var ev eventstorev1.Event
			if err := proto.Unmarshal(in.next(t).Data, &ev); err != nil || string(ev.EventData) != data[ev.AggregateId] {
				t.Errorf("%s: data differs when replayed (%v)", ev.AggregateId, err)
			}
		}

		// A plain channel accepts any bytes.
		raw := make([]byte, 1000)
		for i := range raw {
			raw[i] = byte(rand.Uint32())
		}
		publish(t, sc, "plain", raw, nil, []byte{0})
		_, plain := subscribe(t, sc, "plain", stan.DeliverAllAvailable())
		if got := plain.next(t).Data; !slices.Equal(got, raw) {
			t.Error("the bytes of a message on a plain channel changed")
		}

		// A payload above NATS' limit never reaches the server: the client refuses it.
		if err := sc.Publish(orders, event(t, "A", "T", withData(strings.Repeat("x", 2<<20)))); err == nil {
			t.Error("a payload over max_payload was accepted")
		}
		publish(t, sc, orders, event(t, "after", "T"))
	})
}
