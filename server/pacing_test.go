package server

import (
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Its clock is not real: time passes when all sleep.
func TestPacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacing()
		send := func(messages int) time.Duration {
			start := time.Now()
			for range messages / sendMsgs {
				if err := p.wait(t.Context(), sendMsgs); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		// commits lets replays send as much as they may, up to 100,000 messages per second, while commits take so long.
		commits := func(n int, took time.Duration) {
			for range n {
				for end := time.Now().Add(took); time.Now().Before(end); time.Sleep(640 * time.Microsecond) {
					send(sendMsgs)
				}
				p.committed(1, took)
			}
		}
		if took := send(1_000_000); took != 0 {
			t.Errorf("without publishers, replays waited %v", took)
		}
		commits(500, 2*time.Millisecond)
		if limit := p.limit(); !math.IsInf(limit, 1) {
			t.Errorf("beside commits that are not slow, replays get %.0f messages per second", limit)
		}
		commits(100, 20*time.Millisecond)
		if limit := p.limit(); limit != leastRate {
			t.Errorf("beside slow commits, replays get %.0f messages per second", limit)
		}
		p.committed(1, 20*time.Millisecond)
		if took := send(leastRate / 10); took < 80*time.Millisecond || took > 120*time.Millisecond {
			t.Errorf("the least rate took %v for a tenth of a second", took)
		}
		p.committed(pacedMsgs+1, time.Second)
		commits(200, 2*time.Millisecond)
		if limit := p.limit(); !math.IsInf(limit, 1) {
			t.Errorf("when commits are not slow any more, replays get %.0f messages per second", limit)
		}
		commits(100, 20*time.Millisecond)
		time.Sleep(publisherPause + time.Millisecond)
		if limit := p.limit(); !math.IsInf(limit, 1) {
			t.Errorf("without publishers any more, replays get %.0f messages per second", limit)
		}
		if took := send(1_000_000); took != 0 {
			t.Errorf("without publishers any more, replays waited %v", took)
		}
	})
}

// A batch that stores nothing takes no commit, and would make the next ones look slow.
func TestPacingWatchesCommits(t *testing.T) {
	t.Parallel()
	store, err := stores.Open(t.Context(), stores.Options{
		Driver: "sqlite", Source: filepath.Join(t.TempDir(), "events.db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if held, _, err := store.TryLease(t.Context(), "test", stores.Lease{}); err != nil || !held {
		t.Fatal(held, err)
	}
	if _, err := store.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored, err := store.CreateChannel(t.Context(), "eventstore.c")
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{
		store: store, metrics: newMetrics(), maxMsgs: 10, pace: newPacing(), timeout: time.Minute,
		release: func(int, int) {}, enforce: func(*channel) {},
	}
	ch := &channel{name: "eventstore.c", stored: stored, tails: newTails(1 << 20)}
	commit := func(version uint64, want stores.Result) {
		t.Helper()
		payload, err := googleproto.Marshal(&eventstorev1.Event{EventId: "one", EventType: "T", AggregateId: "a", EventVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		event, err := proto.Extract(payload)
		if err != nil {
			t.Fatal(err)
		}
		var got stores.Result
		err = w.commit([]publication{{
			ch: ch, append: stores.Append{Channel: stored, Payload: payload, Event: &event},
			answer: func(r stores.Result) { got = r },
		}})
		if err != nil || got.Duplicate != want.Duplicate || got.Sequence != want.Sequence || (got.Err == nil) != (want.Err == nil) {
			t.Fatalf("%+v (%v), want %+v", got, err, want)
		}
	}
	watched := func() bool { return w.pace.last.Swap(0) != 0 }
	if commit(1, stores.Result{Sequence: 1}); !watched() {
		t.Error("the commit of an event is not watched")
	}
	if commit(1, stores.Result{Sequence: 1, Duplicate: true}); watched() {
		t.Error("a duplicate is watched")
	}
	if commit(7, stores.Result{Err: stores.ErrDuplicateEvent}); watched() {
		t.Error("a refusal is watched")
	}
}
