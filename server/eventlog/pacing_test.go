package eventlog

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Its clock is not real: time passes when all sleep.
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
		// commits lets replays send as much as they may, up to 100,000 messages per second, while commits take so long.
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
