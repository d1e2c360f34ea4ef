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
				if err := p.wait(t.Context(), pacedStep); err != nil {
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
