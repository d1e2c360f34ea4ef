package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/examples/guide"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// One worker handles each event. Another one takes over if it dies or gives up, or if the server crashes.
func TestGuideWorkers(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-hbi", "200ms", "-hbt", "5s", "-hbf", "1") // detects a dead client soon
		sc := guideConn(t, s, "client")
		open := func(from, to int) {
			t.Helper()
			for i := from; i <= to; i++ {
				account := fmt.Sprint("account-", i)
				err := guide.Publish(t.Context(), sc, &eventstorev1.Event{
					EventId: account, EventType: "AccountOpened", AggregateId: account, AggregateType: "Account"})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		open(1, 10)

		// The first worker dies while it handles the first event.
		dies := startWorker(t, s, "dies", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		dies.expect(t, "account-1")
		dies.sc.NatsConn().Close()
		fails := startWorker(t, s, "fails", nil)
		done := fails.expectAll(t, 1, 10)
		fails.stop()

		// The second worker fails to handle an event.
		open(11, 11)
		fails = startWorker(t, s, "fails-again", func(context.Context) error { return errors.New("no luck") })
		fails.expect(t, "account-11")
		fails.stop()
		works := startWorker(t, s, "works", nil)
		works.expect(t, "account-11")

		// The server crashes while events are pending.
		open(12, 30)
		works.expect(t, "account-12")
		s.Kill()
		s.Restart()
		works.expectAll(t, 13, 30)
		works.stop()

		// The group resumes after a time without members. Events handled before the crash are not redelivered.
		open(31, 31)
		for _, before := range startWorker(t, s, "late", nil).expect(t, "account-31") {
			if slices.Contains(done, before) {
				t.Errorf("%s was redelivered", before)
			}
		}
	})
}

// runningWorker is a member of the group "mailers".
type runningWorker struct {
	sc     stan.Conn
	events chan string // the events it receives
	stop   func()      // stops it as a signal does
}

// startWorker starts a worker that handles each event with do, or does nothing if do is nil.
func startWorker(t *testing.T, s *server, clientID string, do func(context.Context) error) *runningWorker {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, sc, err := guide.Connect(ctx, s.URL(), clientID)
	if err != nil {
		t.Fatal(err)
	}
	w := &runningWorker{sc: sc, events: make(chan string, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = guide.Work(ctx, sc, "mailers", func(ctx context.Context, event *eventstorev1.Event) error {
			w.events <- event.EventId
			if do == nil {
				return nil
			}
			return do(ctx)
		})
		_ = sc.Close() // a dead worker has lost its connection
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(w.stop)
	return w
}

// expect waits until the worker receives an event, and returns the events received before it.
func (w *runningWorker) expect(t *testing.T, want string) (before []string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-w.events:
			if got == want {
				return before
			}
			before = append(before, got)
		case <-deadline:
			t.Fatalf("%s did not arrive", want)
		}
	}
}

// expectAll waits until the worker has received all the events, in any order, and returns them.
func (w *runningWorker) expectAll(t *testing.T, from, to int) (events []string) {
	t.Helper()
	missing := make(map[string]bool)
	for i := from; i <= to; i++ {
		events = append(events, fmt.Sprint("account-", i))
		missing[events[len(events)-1]] = true
	}
	deadline := time.After(patience)
	for len(missing) > 0 {
		select {
		case got := <-w.events:
			delete(missing, got)
		case <-deadline:
			t.Fatalf("%v did not arrive", missing)
		}
	}
	return events
}
