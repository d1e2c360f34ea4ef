package eventlog

import (
	"testing"
	"time"
)

// The writer waits for those that it has answered, as long as they come, and for a part of the commit at most.
func TestGathering(t *testing.T) {
	t.Parallel()
	const commit = 4 * time.Millisecond
	ended := time.Now()
	for _, test := range []struct {
		name    string
		open    int
		took    time.Duration
		waiting []int // at each look
		pauses  int
	}{
		{"all are there", 64, commit, []int{64}, 0},
		{"all come", 64, commit, []int{32, 50, 64}, 2},
		{"some have gone", 64, commit, []int{32, 50, 50}, 2},
		{"none comes", 64, commit, []int{1, 1}, 1},
		{"they come slowly", 64, commit, []int{1, 2, 3, 4, 5, 6}, mostPauses},
		{"two", 2, commit, []int{1, 2}, 1},
		{"a lone publisher", 1, commit, []int{1}, 0},
		{"a fast device", 64, slowDevice - 1, []int{32}, 0},
		{"a large batch", mostGathered + 1, commit, []int{32}, 0},
	} {
		var g gathering
		g.committed(test.open, ended, test.took)
		now, pauses := ended, 0
		for _, waiting := range test.waiting {
			pause := g.next(waiting, now)
			if pause == 0 {
				break
			}
			if pause > test.took/pauseShare {
				t.Errorf("%s: a pause of %v", test.name, pause)
			}
			now = now.Add(pause)
			pauses++
		}
		if pauses != test.pauses {
			t.Errorf("%s: %d pauses, want %d", test.name, pauses, test.pauses)
		}
		if g.next(1, now) != 0 {
			t.Errorf("%s: waits again for the same commit", test.name)
		}
	}
	var g gathering
	g.committed(64, ended, commit)
	if g.next(1, ended.Add(commit)) != 0 {
		t.Error("waits for a publisher that comes long after the commit")
	}
}
