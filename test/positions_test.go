package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Promise 5: what a durable, or a durable queue group, was sent and did not acknowledge is sent again after a crash, also one
// right after a member joined or the durable was closed: these store the position of the group.
func TestCrashAfterMembershipChanges(t *testing.T) {
	t.Parallel()
	const messages, trials = 100, 4
	again := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.DurableName("d"), stan.AckWait(time.Second), stan.MaxInflight(messages)}
	for _, what := range []string{"join", "close"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			databases.Each(t, func(t *testing.T, driver, source string) {
				s := start(t, driver, source)
				for trial := range trials {
					channel := fmt.Sprintf("%s.%d", what, trial)
					member := func(name string, in inbox) stan.Subscription {
						t.Helper()
						sub, err := s.connect(fmt.Sprint(name, trial)).QueueSubscribe(channel, "q", func(m *stan.Msg) { in <- m }, again...)
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
							t.Fatalf("trial %d: %d of %d messages came again", trial+1, len(seen), messages)
						}
					}
				}
			})
		})
	}
}

// After a start of the server nothing is sent to a subscriber that has not come back to NATS, where it would be lost until its
// AckWait is over, and all of it when it has.
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
			fill(t, s.connect("after"+nuid.Next()), "c", 3) // while the reader waits before it connects again
			in.sequences(t, 3)
		}
	})
}
