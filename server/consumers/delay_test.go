package consumers

import (
	"testing"
	"time"
)

// However far in the future an event is to be delivered, it is not delivered at once.
func TestDelayOfCenturies(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{time.Now().Add(290 * 365 * 24 * time.Hour), time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		if due := onClock(at); due <= now() || due >= never {
			t.Errorf("%v is due at %v", at, due)
		}
	}
}
