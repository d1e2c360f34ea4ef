package consumers

import (
	"testing"
)

// A group that sends a few messages again at a time is as bound by the rate as one that sends many.
func TestPaceOfFew(t *testing.T) {
	t.Parallel()
	p := &pace{limiter: newLimiter(100)}
	sent := 0
	for range 1000 {
		n := min(p.allowed(), 10)
		sent += n
		p.used(n, n < 10)
	}
	if sent > 2*paceChunk {
		t.Errorf("%d messages were sent again at once; the rate is 100 a second", sent)
	}
}
