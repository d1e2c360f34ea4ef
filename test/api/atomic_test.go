package api_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestAppendIsAtomic: rivals append 1,000 events to the same 100 aggregates while the server is killed and restarted.
// Each request is stored as a whole or not at all, and every acknowledged request is stored.
func TestAppendIsAtomic(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		const rivals, aggregates, size, kills, wanted = 3, 100, 1000, 2, 6
		var mu sync.Mutex // guards answered
		answered := map[string]bool{}
		won := make(chan struct{}, 1000)

		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for rival := range rivals {
			c := dial(t, address)
			work.Go(func() {
				var version uint64 // the version that this rival expects of every aggregate
				for n := 0; ctx.Err() == nil; n++ {
					id := fmt.Sprintf("%d-%d", rival, n)
					req := &eventstorev1.AppendRequest{Channel: orders}
					for i := range size {
						e := withID(fmt.Sprintf("%s/%d", id, i), event(fmt.Sprint("a", i%aggregates), version+uint64(i/aggregates)+1))
						e.Metadata = map[string]string{"request": id}
						req.Events = append(req.Events, e)
					}
					for ctx.Err() == nil { // retry until the outcome is known
						_, err := c.Append(ctx, req)
						if err == nil {
							version += size / aggregates
							mu.Lock()
							answered[id] = true
							mu.Unlock()
							won <- struct{}{}
							break
						}
						if connect.CodeOf(err) == connect.CodeAborted {
							version = conflictOf(t, err).GetCurrentVersion()
							break
						}
						time.Sleep(20 * time.Millisecond) // a dead server refuses connections at once: do not spin
					}
				}
			})
		}
		patience := time.After(4 * harness.Patience)
		for i := range wanted {
			select {
			case <-won:
			case <-patience:
				t.Error("too few requests are stored")
			}
			if i < kills {
				s.Kill()
				s.Restart()
			}
		}
		cancel()
		work.Wait()

		stored := map[string]int{}
		for _, e := range readAll(t, dial(t, address), &eventstorev1.ReadRequest{Channel: orders}) {
			stored[e.GetEvent().GetMetadata()["request"]]++
		}
		for id, n := range stored {
			if n != size {
				t.Errorf("%d events of request %s are stored", n, id)
			}
		}
		for id := range answered {
			if stored[id] != size {
				t.Errorf("request %s was answered, and %d of its events are stored", id, stored[id])
			}
		}
	})
}
