package eventlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// Whatever happens to the database, each acknowledged message is stored once, at its sequence and in its publisher's
// order. A refused message is not stored, unless its outcome was unknown. Readers see all stored messages.
func TestHistoriesOfFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			var faults storetest.Faults
			f := setup{
				store:   stores.Options{WrapConnector: faults.Wrap},
				options: Options{StoreTimeout: 300 * time.Millisecond, MaxBatchMsgs: 1 + int(seed)*7, TailBytes: 2000},
			}.open(t)
			const publishers, messages, channels = 3, 200, 3
			type key struct {
				channel string
				seq     uint64
			}
			var mu sync.Mutex // guards acked and refused
			acked, refused := make(map[key]string), make(map[string]bool)
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, uint64(p)))
					window := make(chan struct{}, 20)
					for i := range messages {
						window <- struct{}{}
						channel, text := fmt.Sprint("c", r.IntN(channels)), fmt.Sprintf("%d %04d", p, i)
						if p == 0 && i%40 == 20 {
							inject(r, &faults)
						}
						f.Submit(Submission{
							Channel: channel, Received: time.Now(), Held: r.IntN(2) * 100,
							Decode: func(*Channel) ([]Message, error) { return []Message{{Payload: []byte(text)}}, nil },
							Answer: func(results []stores.Result) {
								<-window
								mu.Lock()
								defer mu.Unlock()
								if err := results[0].Err; err == nil {
									acked[key{channel, results[0].Sequence}] = text
								} else if !errors.Is(err, stores.ErrOutcomeUnknown) {
									refused[text] = true
								}
							},
						})
					}
					for range cap(window) {
						window <- struct{}{}
					}
				})
			}
			wg.Wait()
			faults.Clear()
			for _, ch := range f.Channels() {
				for r := (stores.Result{}); r.Sequence == 0; {
					r = <-f.submit(ch.Name(), []byte("last")) // succeeds once the database is back
				}
				c := ch.Cursor(1)
				last := make(map[byte]string)
				seen := make(map[string]bool)
				for next := uint64(1); next <= ch.Info().Last; {
					msgs, err := c.ReadTo(t.Context(), ch.Info().Last, 50)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range msgs {
						var p pb.MsgProto
						if err := p.Unmarshal(m.Data); err != nil || m.Sequence != next {
							t.Fatalf("channel %s: sequence %d, want %d: %v", ch.Name(), m.Sequence, next, err)
						}
						next++
						text := string(p.Data)
						k := key{ch.Name(), m.Sequence}
						if want, ok := acked[k]; ok && want != text {
							t.Errorf("channel %s, sequence %d: %q, acknowledged %q", ch.Name(), m.Sequence, text, want)
						}
						delete(acked, k)
						if text == "last" {
							continue
						}
						if refused[text] || seen[text] || text < last[text[0]] {
							t.Errorf("channel %s, sequence %d: %q was refused (%v), is stored twice (%v), or follows %q",
								ch.Name(), m.Sequence, text, refused[text], seen[text], last[text[0]])
						}
						seen[text], last[text[0]] = true, text
					}
				}
				c.Close()
			}
			if len(acked) > 0 {
				t.Errorf("%d acknowledged messages are missing", len(acked))
			}
		})
	}
}

// inject injects a database fault.
func inject(r *rand.Rand, faults *storetest.Faults) {
	switch r.IntN(4) {
	case 0:
		faults.Commits(storetest.LostBefore, storetest.LostAfter)
	case 1:
		faults.Begins(syscall.ECONNRESET, syscall.ECONNREFUSED)
	case 2: // away after a commit, until eight connections were refused
		refused := 0
		faults.GoneAfterCommit(func() {
			if refused++; refused == 8 {
				go faults.Clear()
			}
		})
		faults.Commits(storetest.LostAfter)
	case 3:
		refused := 0
		faults.GoneAfterCommit(func() {
			if refused++; refused == 8 {
				go faults.Clear()
			}
		})
		faults.Commits(storetest.LostBefore)
	}
}
