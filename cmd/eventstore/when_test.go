package main

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	t.Parallel()
	own := &tool{utc: true}
	for text, want := range map[string]string{
		"2026-11-26T14:30:00.5+01:00": "2026-11-26T13:30:00.5Z", "2026-11-26 14:30": "2026-11-26T14:30:00Z", "2026-11-26 14:30:15": "2026-11-26T14:30:15Z",
		"2026-11-26": "2026-11-26T00:00:00Z", "2026-11-26T14:30": "2026-11-26T14:30:00Z",
	} {
		at, err := own.when("at", text)
		if got := at.UTC().Format(time.RFC3339Nano); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, ago := range map[string]time.Duration{"now": 0, "1h": time.Hour, "-1h": time.Hour, "90m ago": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0.5d": 12 * time.Hour} {
		before := time.Now()
		at, err := own.when("at", text)
		if err != nil || at.Before(before.Add(-ago)) || at.After(time.Now().Add(-ago)) {
			t.Errorf("%s: %v, %v", text, at, err)
		}
	}
	today, err := own.when("at", "today")
	yesterday, err2 := own.when("at", "Yesterday")
	if err != nil || err2 != nil || today.Sub(yesterday) != 24*time.Hour || today.Hour() != 0 {
		t.Errorf("today is %v, yesterday %v: %v, %v", today, yesterday, err, err2)
	}
	for _, text := range []string{"", "soon", "2026-13-01", "1", "d", "-1", "1h 2d"} {
		if at, err := own.when("at", text); err == nil {
			t.Errorf("%q is %v", text, at)
		}
	}
}
