package main

import (
	"strconv"
	"strings"
	"time"
)

// timeHelp says how to write a time.
const timeHelp = "a time such as 2026-11-26T14:30:00Z, '2026-11-26 14:30', 2026-11-26, yesterday, or 90m and 7d for that long ago"

// when parses a time that a person wrote. Without a zone, it is local, or in UTC with --utc.
func (t *tool) when(flag, text string) (time.Time, error) {
	now := time.Now()
	zone := time.Local
	if t.utc {
		zone = time.UTC
	}
	today := func(days int) time.Time {
		at := now.In(zone)
		return time.Date(at.Year(), at.Month(), at.Day()+days, 0, 0, 0, 0, zone)
	}
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return today(0), nil
	case "yesterday":
		return today(-1), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	ago := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "-"), "ago"))
	if days, found := strings.CutSuffix(ago, "d"); found {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 100_000 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usage("--%s %q is not a time: write %s", flag, text, timeHelp)
}
