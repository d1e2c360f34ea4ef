package eventlog

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
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
