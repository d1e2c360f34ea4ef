package measure_test

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1234: "0.12", 99.94: "99.9", 999.4: "999", 1000: "1,000", 1234567.8: "1,234,568"} {
		if got := measure.Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
	if got := measure.Count(12345); got != "12,345" {
		t.Errorf("Count(12345) = %q", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := measure.Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestNotesStay(t *testing.T) {
	const notes = "\n## Notes\n\nWritten by hand.\n"
	if got := measure.Notes([]byte("# Old\n\nFigures.\n" + notes)); got != notes {
		t.Errorf("kept %q, want %q", got, notes)
	}
	if got := measure.Notes([]byte("# Old\n")); got != "" {
		t.Errorf("kept %q of a report without notes", got)
	}
}
