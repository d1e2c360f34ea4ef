package eventlog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Table returns the log lines that show the limits, in NATS Streaming's format. A star marks a default; a channel's
// entry shows what it overrides.
func (l Limits) Table() []string {
	lines := []string{"---------- Store Limits ----------"}
	global := func(name, value string) {
		star := ""
		if value == unlimitedText {
			star = " *"
		}
		lines = append(lines, fmt.Sprintf("%s%13s%s", name, value, star))
	}
	global("Channels:        ", countText(l.MaxChannels))
	lines = append(lines, "--------- Channels Limits --------")
	for _, it := range l.rows() {
		global(fmt.Sprintf("  %-13s: ", it.name), it.value)
	}
	width := len(lines[0])
	var entries []string
	patterns := slices.SortedFunc(maps.Keys(l.PerChannel), widestFirst)
	for _, p := range patterns {
		// Each wider entry adds a level of indentation.
		level := 0
		for _, wider := range patterns {
			if widestFirst(wider, p) < 0 && Covers(wider, p) {
				level++
			}
		}
		left, right := strings.Repeat(" ", level), strings.Repeat(" ", max(0, len(patterns)-level))
		entries = append(entries, left+p)
		for _, it := range l.PerChannel[p].rows() {
			if it.set {
				entries = append(entries, fmt.Sprintf("%s |-> %-13s %s%13s", left, it.name, right, it.value))
			}
		}
	}
	for _, e := range entries {
		width = max(width, len(e))
	}
	if len(entries) > 0 {
		const title = " List of Channels "
		before := (width - len(title)) / 2
		lines = append(lines, strings.Repeat("-", before)+title+strings.Repeat("-", width-len(title)-before))
	}
	return append(append(lines, entries...), strings.Repeat("-", width))
}

// limitRow is a channel limit as text.
type limitRow struct {
	name, value string
	set         bool
}

func (l ChannelLimits) rows() []limitRow {
	return []limitRow{
		{"Subscriptions", countText(l.MaxSubscriptions), l.MaxSubscriptions != 0},
		{"Messages", countText(l.MaxMsgs), l.MaxMsgs != 0},
		{"Bytes", bytesText(l.MaxBytes), l.MaxBytes != 0},
		{"Age", durationText(l.MaxAge), l.MaxAge != 0},
		{"Inactivity", durationText(l.MaxInactivity), l.MaxInactivity != 0},
	}
}

const unlimitedText = "unlimited"

func countText(n int) string {
	if n <= 0 {
		return unlimitedText
	}
	return fmt.Sprint(n)
}

func durationText(d time.Duration) string {
	if d <= 0 {
		return unlimitedText
	}
	return d.String()
}

// bytesText formats a size with two decimals, in the largest unit in which it is at least 1.
func bytesText(n int64) string {
	if n <= 0 {
		return unlimitedText
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 4 {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.2f %cB", v, " KMGT"[unit])
}
