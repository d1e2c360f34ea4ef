package eventlog

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// The test runs on a fake clock, which advances while all goroutines sleep.
func TestPacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacing()
		send := func(messages int) time.Duration {
			start := time.Now()
			for range messages / pacedStep {
				if err := p.wait(t.Context(), pacedStep, 1); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		// commits lets replays send as fast as they may, up to 100,000 messages per second, during commits of that
		// duration.
		commits := func(n int, took time.Duration) {
			for range n {
				for end := time.Now().Add(took); time.Now().Before(end); time.Sleep(640 * time.Microsecond) {
					send(pacedStep)
				}
				p.committed(1, took)
			}
		}
		if took := send(1_000_000); took != 0 {
			t.Errorf("without publishers, replays waited %v", took)
		}
		commits(500, 2*time.Millisecond)
		if limit := p.limit(); !math.IsInf(limit, 1) {
			t.Errorf("beside fast commits, replays get %.0f messages per second", limit)
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
			t.Errorf("once commits are fast again, replays get %.0f messages per second", limit)
		}
		commits(100, 20*time.Millisecond)
		time.Sleep(publisherPause + time.Millisecond)
		if limit := p.limit(); !math.IsInf(limit, 1) {
			t.Errorf("after publishers stopped, replays get %.0f messages per second", limit)
		}
		if took := send(1_000_000); took != 0 {
			t.Errorf("after publishers stopped, replays waited %v", took)
		}
	})
}

// A relay gives way by what its messages cost, and yet gets nearer to a publisher that is faster than its least rate.
func TestPacingOfRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacing()
		// relayed lets a relay run beside commits of so many messages, and returns how many messages per second it sends.
		relayed := func(commits, messages int, took time.Duration) float64 {
			sent, stop := 0, make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := p.wait(t.Context(), 512, relayWeight); err != nil {
						t.Error(err)
					}
					time.Sleep(20 * time.Millisecond) // JetStream stores them
					sent += 512
				}
			}()
			start := time.Now()
			for range commits {
				time.Sleep(took)
				p.committed(messages, took)
			}
			close(stop)
			elapsed := time.Since(start)
			<-done
			return float64(sent) / elapsed.Seconds()
		}
		if got := relayed(500, 1, time.Millisecond); got < 20_000 {
			t.Errorf("beside fast commits, a relay sends %.0f messages per second", got)
		}
		relayed(100, 1, 20*time.Millisecond)
		if got := relayed(500, 1, 20*time.Millisecond); got < 0.8*leastRate/relayWeight || got > 1.2*leastRate/relayWeight {
			t.Errorf("beside slow commits, a relay sends %.0f messages per second", got)
		}
		const stored = 16 / 0.004 // 4,000 messages per second
		p = newPacing()
		p.committed(1, time.Millisecond/2)
		relayed(100, 16, 4*time.Millisecond)
		if got := relayed(250, 16, 4*time.Millisecond); got < 1.5*stored || got > 3*stored {
			t.Errorf("a relay sends %.0f messages per second, while %.0f are stored", got, stored)
		}
	})
}

// A batch that stores nothing needs no commit. Watching it would make the next commits look slow.
func TestPacingWatchesCommits(t *testing.T) {
	t.Parallel()
	events, err := NewEvents([]EventBlock{{Channels: []string{"eventstore.>"}}})
	if err != nil {
		t.Fatal(err)
	}
	f := setup{options: Options{Events: events}}.open(t)
	watched := func() bool { return f.pace.last.Swap(0) != 0 }
	if r := <-f.submit("eventstore.c", event(t, "one")); r.Err != nil || !watched() {
		t.Errorf("the commit of an event is not watched: %+v", r)
	}
	if r := <-f.submit("eventstore.c", event(t, "one")); !r.Duplicate || watched() {
		t.Errorf("a duplicate is watched: %+v", r)
	}
	late, err := googleproto.Marshal(&eventstorev1.Event{EventType: "T", AggregateId: "a", EventVersion: 7})
	if err != nil {
		t.Fatal(err)
	}
	if r := <-f.submit("eventstore.c", late); r.Err == nil || watched() {
		t.Errorf("a refusal is watched: %+v", r)
	}
}
