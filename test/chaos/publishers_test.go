package chaos

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const publishers = 64

// encode encodes an event.
func encode(t *testing.T, e *eventstorev1.Event) []byte {
	t.Helper()
	e.EventType = eventType
	b, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// together connects 64 clients and runs do in all of them at once.
func together(t *testing.T, s *harness.Server, round int, do func(number int, sc stan.Conn)) {
	t.Helper()
	var connected, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range publishers {
		connected.Add(1)
		done.Go(func() {
			sc, err := stan.Connect("test-cluster", fmt.Sprintf("client-%d-%d", round, i), stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
			connected.Done()
			if err != nil {
				t.Error(err)
				return
			}
			<-begin
			do(i, sc)
			if err := sc.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	connected.Wait()
	close(begin)
	done.Wait()
}

// TestPublishersOfOneAggregate: 64 clients publish the next version of one aggregate and retry on conflict. Exactly the
// acknowledged events are stored, one per version, before and after restarts.
func TestPublishersOfOneAggregate(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source)
		const each = 2
		data := openDatabase(t, driver, source)
		for round := range 2 {
			var conflicts atomic.Int64
			together(t, s, round, func(number int, sc stan.Conn) {
				head := uint64(0) // the last version that this client has seen
				for i := 0; i < each; {
					id := fmt.Sprintf("%d-%d-%d", round, number, i)
					err := sc.Publish(shared, encode(t, &eventstorev1.Event{EventId: id, AggregateId: "one", EventVersion: head + 1}))
					if err == nil {
						head++
						i++
						continue
					}
					out, unexpected := outcome(err.Error(), operation{aggregate: aggregate{shared, "one"}, id: id})
					if unexpected != nil || out.kind != conflict || out.head <= head {
						t.Errorf("at version %d: %v", head, err)
						return
					}
					conflicts.Add(1)
					head = out.head
				}
			})
			stored, err := data.readAll(aggregate{shared, "one"})
			if err != nil {
				t.Fatal(err)
			}
			if want := (round + 1) * each * publishers; len(stored.ids) != want || conflicts.Load() == 0 {
				t.Errorf("%d events, want %d; %d conflicts", len(stored.ids), want, conflicts.Load())
			}
			if round == 0 {
				s.Stop()
				s.Restart()
			}
		}
	})
}

// TestOneEventFromManyClients: 64 clients publish the same event at once; all are acknowledged and it is stored once. Of
// 64 clients that publish different events with one event_id, one wins and the others are refused, also after a restart.
func TestOneEventFromManyClients(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source)
		data := openDatabase(t, driver, source)
		var winners, losers atomic.Int64
		for round := range 2 {
			together(t, s, round, func(number int, sc stan.Conn) {
				// Some publish with the version that the event gets, some without one, and some with a version that
				// never comes next.
				for i := range 5 {
					e := &eventstorev1.Event{EventId: fmt.Sprint("same-", i), AggregateId: "one"}
					if number%2 == 0 && round == 1 {
						e.EventVersion = uint64(i + 1)
					}
					if err := sc.Publish(shared, encode(t, e)); err != nil {
						t.Errorf("the same event: %v", err)
					}
				}
				err := sc.Publish(shared, encode(t, &eventstorev1.Event{EventId: "taken", AggregateId: "two", EventData: fmt.Append(nil, number)}))
				switch {
				case err == nil:
					winners.Add(1)
				case err.Error() == `stan: event_id "taken" already stored with different content`:
					losers.Add(1)
				default:
					t.Error(err)
				}
				// The same event_id on another channel is another event.
				if err := sc.Publish("eventstore.three", encode(t, &eventstorev1.Event{EventId: "same-0", AggregateId: "three"})); err != nil {
					t.Error(err)
				}
			})
			if round == 0 {
				s.Kill()
				s.Restart()
			}
		}
		// In the second round, the winner of the first is acknowledged again.
		if winners.Load() != 2 || losers.Load() != 2*publishers-2 {
			t.Errorf("%d winners, %d losers", winners.Load(), losers.Load())
		}
		for key, want := range map[aggregate]string{{shared, "one"}: "same-0 same-1 same-2 same-3 same-4", {shared, "two"}: "taken", {"eventstore.three", "three"}: "same-0"} {
			stored, err := data.readAll(key)
			if got := strings.Join(stored.ids, " "); err != nil || got != want {
				t.Errorf("%v: stored %s, want %s (%v)", key, got, want, err)
			}
		}
	})
}
