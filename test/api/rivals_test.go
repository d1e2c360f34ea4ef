package api_test

import (
	"fmt"
	"sync"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// rivals is how many writers decide at the same time.
const rivals = 64

// TestNoFalseConflicts: writers who decide on different tags never conflict, however many there are, and though all
// their events are on the same channel and in the same batches.
func TestNoFalseConflicts(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source)
		c := dial(t, address)
		const rounds = 20
		var work sync.WaitGroup
		for rival := range rivals {
			work.Go(func() {
				tag := fmt.Sprint("account:", rival)
				last := uint64(0) // position of the last event with the tag
				for n := range rounds {
					resp, err := c.Append(patient(t), &eventstorev1.AppendRequest{
						Channel: orders, Events: []*eventstorev1.Event{withTags(event(fmt.Sprint("a", rival%8), 0), tag, "bank:1")},
						Conditions: []*eventstorev1.Condition{noneWith(last, tag, "bank:1")},
					})
					if err != nil {
						t.Errorf("round %d of %s: %v", n, tag, err)
						return
					}
					last = resp.GetEvents()[0].GetPosition()
				}
			})
		}
		work.Wait()
		if got := len(readAll(t, c, &eventstorev1.ReadRequest{Channel: orders})); got != rivals*rounds {
			t.Errorf("%d events are stored, want %d", got, rivals*rounds)
		}
	})
}

// TestOneWinner: of writers who decide at the same time, on the same events, exactly one is served. The others learn the
// position of the winner's event.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source)
		c := dial(t, address)
		const rounds = 5
		last := uint64(0)
		for round := range rounds {
			var work sync.WaitGroup
			var mu sync.Mutex // guards winners
			var winners []uint64
			conflicts := make(chan error, rivals)
			for rival := range rivals {
				work.Go(func() {
					channel := []string{orders, payments}[rival%2]
					resp, err := c.Append(patient(t), &eventstorev1.AppendRequest{
						Channel: channel, Events: []*eventstorev1.Event{withTags(event(fmt.Sprint("a", rival), 0), "seat:1")},
						Conditions: []*eventstorev1.Condition{noneWith(last, "seat:1")},
					})
					if connect.CodeOf(err) == connect.CodeAborted {
						conflicts <- err
						return
					}
					if err != nil {
						t.Errorf("round %d, rival %d: %v", round, rival, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					winners = append(winners, resp.GetEvents()[0].GetPosition())
				})
			}
			work.Wait()
			if len(winners) != 1 || len(conflicts) != rivals-1 || winners[0] != last+1 {
				t.Fatalf("round %d: winners at positions %v after %d, and %d conflicts", round, winners, last, len(conflicts))
			}
			last = winners[0]
			close(conflicts)
			for err := range conflicts {
				wantConflict(t, "loser", err, 0, last)
			}
		}
		stored := 0
		for _, channel := range []string{orders, payments} {
			stored += len(readAll(t, c, &eventstorev1.ReadRequest{Channel: channel}))
		}
		if stored != rounds {
			t.Errorf("%d events are stored, want one per round, %d", stored, rounds)
		}
	})
}
