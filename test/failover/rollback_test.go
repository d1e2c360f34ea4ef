package failover

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// beforeWildcards is the last commit whose programs do not know the table Wildcards. They go on with a newer schema.
const beforeWildcards = "7dd924d47f9fedd89a7b45ef606c1e8f48d32526"

// A durable of a pattern waits while a program serves that does not know patterns. Then it goes on where it was.
func TestRollbackKeepsWildcards(t *testing.T) {
	t.Parallel()
	former := builtFrom(t, beforeWildcards)
	if former == "" {
		t.Logf("commit %s is not in this clone, so this version without -wildcards takes the place of the former one", beforeWildcards)
		former = harness.Plain(t)
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.New(t, harness.Plain(t), "-store", "SQL", "-sql_driver", driver, "-sql_source", source)
		plain := s.Args
		serve := func(binary string, args ...string) {
			t.Helper()
			if s.Process != nil {
				s.Stop()
			}
			s.Binary, s.Args = binary, append(slices.Clone(plain), args...)
			s.Launch()
			s.Ready()
		}
		// session connects a client, publishes n events, and ends with the connection.
		session := func(client string, n int, with func(stan.Conn)) {
			t.Helper()
			sc, err := stan.Connect("test-cluster", client, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				data, err := proto.Marshal(&eventstorev1.Event{EventType: "T", AggregateType: "A", AggregateId: fmt.Sprint(client, i)})
				if err != nil {
					t.Fatal(err)
				}
				if err := sc.Publish(fmt.Sprint("eventstore.", i%3), data); err != nil {
					t.Fatal(err)
				}
			}
			with(sc)
			if err := sc.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// read receives messages of the durable and acknowledges all but one.
		read := func(sc stan.Conn, but uint64, want ...uint64) {
			t.Helper()
			messages := make(chan *stan.Msg, 1000)
			_, err := sc.Subscribe("eventstore.>", func(m *stan.Msg) { messages <- m },
				stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(2*harness.Patience))
			if err != nil {
				t.Fatal(err)
			}
			for _, seq := range want {
				select {
				case m := <-messages:
					if m.Sequence != seq {
						t.Fatalf("got %d, want %d", m.Sequence, seq)
					}
					if m.Sequence == but {
						continue
					}
					if err := m.Ack(); err != nil {
						t.Fatal(err)
					}
				case <-time.After(harness.Patience):
					t.Fatalf("no message arrived, want %d", seq)
				}
			}
		}
		serve(harness.Plain(t), "-wildcards")
		session("reader", 8, func(sc stan.Conn) { read(sc, 4, 1, 2, 3, 4, 5, 6, 7, 8) })
		serve(former)
		session("other", 4, func(sc stan.Conn) {
			for _, channel := range []string{"eventstore.0", "eventstore.1", "plain"} {
				if _, err := sc.Subscribe(channel, func(*stan.Msg) {}, stan.DurableName("d")); err != nil {
					t.Error(err)
				}
			}
			if _, err := sc.Subscribe("eventstore.>", func(*stan.Msg) {}); err == nil || err.Error() != "stan: invalid subject" {
				t.Errorf("a pattern without wildcards: %v", err)
			}
		})
		s.Kill()
		serve(former)
		serve(harness.Plain(t), "-wildcards")
		session("reader", 1, func(sc stan.Conn) { read(sc, 0, 4, 9, 10, 11, 12, 13) })
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
