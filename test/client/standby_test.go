package client

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// received collects the sequences of a replay, which must be 1, 2, 3, ….
type received struct {
	mu       sync.Mutex // guards the fields below
	last     uint64
	err      error
	standbys int // batches that came from standbys
}

func (r *received) event(e *eventstore.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Sequence != r.last+1 && r.err == nil {
		r.err = fmt.Errorf("received sequence %d after %d", e.Sequence, r.last)
	}
	r.last = e.Sequence
	return r.err
}

func (r *received) seen(eventstore.Staleness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.standbys++
}

func (r *received) state() (last uint64, standbys int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.standbys, r.err
}

// waitFor waits until everything up to a sequence has come once.
func (r *received) waitFor(t *testing.T, sequence uint64) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		last, _, err := r.state()
		if err != nil || last > sequence {
			t.Fatalf("after sequence %d of %d: %v", last, sequence, err)
		}
		if last == sequence {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout after sequence %d of %d", last, sequence)
		}
	}
}

// A replay that reads from standbys gets each event once, over takeovers in both directions.
func TestStandbyReadsOverTakeovers(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		var servers [2]*harness.Server
		var urls []string
		for i := range servers {
			port, err := databases.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			servers[i] = harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-store_timeout", "20s",
				"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-grpc_standby_reads")
			urls = append(urls, fmt.Sprint("http://127.0.0.1:", port))
		}
		leader, standby := servers[0], servers[1]
		leader.Launch()
		leader.Ready()
		standby.Launch()
		standby.WaitLog(t, "Standby serves reads")

		c, err := eventstore.New(eventstore.Options{URLs: urls})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		n := uint64(0)
		deposit := func(events int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
			defer cancel()
			for range events {
				n++
				if _, err := c.Append(ctx, channel, []eventstore.NewEvent{{Type: "Deposited", AggregateID: "a", Payload: []byte(`{"Cents":1}`)}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		deposit(1) // the server that leads creates the channel
		var got received
		replay := c.WithStandbyReads(time.Minute, got.seen)
		stop := running(t, func(ctx context.Context) error {
			return replay.Replay(ctx, channel, eventstore.FromBeginning(), eventstore.Filter{}, got.event)
		})
		for round := range 2 {
			deposit(20)
			got.waitFor(t, n)
			if _, standbys, _ := got.state(); standbys == 0 {
				t.Errorf("round %d: no batch came from a standby", round)
			}
			leader.Kill()
			standby.Ready()
			deposit(20)
			got.waitFor(t, n)
			leader, standby = standby, leader
			standby.Launch()
			standby.WaitLog(t, "Standby serves reads")
		}
		// A read that must be fresh comes from the server that leads.
		deposit(1)
		events, err := c.Load(t.Context(), channel, "", "a", 1)
		if err != nil || uint64(len(events)) != n {
			t.Errorf("loaded %d of %d events: %v", len(events), n, err)
		}
		got.waitFor(t, n)
		if err := stop(); err != nil && t.Context().Err() == nil && err != context.Canceled { //nolint:errorlint // the cause itself
			t.Error(err)
		}
	})
}
