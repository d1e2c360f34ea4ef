package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Promise 5: unacknowledged messages of a durable or a durable queue group are redelivered after a crash. This includes
// a crash right after a member joins or the durable closes, which store the group's position.
func TestCrashAfterMembershipChanges(t *testing.T) {
	t.Parallel()
	const messages, trials = 100, 4
	options := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.DurableName("d"), stan.AckWait(time.Second), stan.MaxInflight(messages)}
	for _, what := range []string{"join", "close"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			databases.Each(t, func(t *testing.T, driver, source string) {
				s := start(t, driver, source)
				for trial := range trials {
					channel := fmt.Sprintf("%s.%d", what, trial)
					member := func(name string, in inbox) stan.Subscription {
						t.Helper()
						sub, err := s.connect(fmt.Sprint(name, trial)).QueueSubscribe(channel, "q", func(m *stan.Msg) { in <- m }, options...)
						if err != nil {
							t.Fatal(err)
						}
						return sub
					}
					fill(t, s.connect(fmt.Sprint("publisher", trial)), channel, messages)
					before, in := newInbox(), newInbox()
					sub := member("holder", before)
					before.sequences(t, messages)
					if what == "join" {
						member("joining", in)
					} else if err := sub.Close(); err != nil {
						t.Fatal(err)
					}
					s.Kill()
					s.Restart()
					member("resuming", in)
					for seen := map[uint64]bool{}; len(seen) < messages; {
						select {
						case m := <-before:
							seen[m.Sequence] = true // the holder is still a member
						case m := <-in:
							seen[m.Sequence] = true
						case <-time.After(patience):
							t.Fatalf("trial %d: %d of %d messages were redelivered", trial+1, len(seen), messages)
						}
					}
				}
			})
		})
	}
}

// After a server start, nothing is sent to a subscriber before it has reconnected to NATS: the message would be lost
// until AckWait. Once it has, it receives everything.
func TestDeliveryWaitsForReconnects(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("reader")
		_, in := subscribe(t, sc, "c", stan.DurableName("d"), stan.SetManualAckMode(), stan.AckWait(10*patience), stan.MaxInflight(10))
		fill(t, s.connect("before"), "c", 1)
		if err := in.next(t).Ack(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.Stop()
			s.Restart()
			fill(t, s.connect("after"+nuid.Next()), "c", 3) // the reader waits before it reconnects
			in.sequences(t, 3)
		}
	})
}
