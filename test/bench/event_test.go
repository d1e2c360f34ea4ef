package main

import "testing"

func TestEventsHaveTheSizeOfTheReport(t *testing.T) {
	for range 3 {
		payload, err := newPayload()
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) != eventBytes {
			t.Errorf("event of %d bytes, want %d", len(payload), eventBytes)
		}
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "", 999.4: "999", 1000: "1,000", 1234567.8: "1,234,568"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) = %q, want %q", v, got, want)
		}
	}
}
