package eventlog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ChannelLimits bound one channel. In Limits itself, zero means unlimited. In an entry of PerChannel, zero inherits
// from the next wider entry and a negative value means unlimited.
type ChannelLimits struct {
	MaxSubscriptions int           // subscriptions, offline durables included; more are refused
	MaxMsgs          int           // messages; the oldest are removed
	MaxBytes         int64         // bytes of encoded messages; the oldest are removed
	MaxAge           time.Duration // older messages are removed
	MaxInactivity    time.Duration // a channel without active subscription or publish for that long is deleted
}

// Limits bound channels. By default, nothing is limited. Limits that remove messages do not apply to event channels; to
// set one for an event channel in PerChannel is an error.
type Limits struct {
	MaxChannels int // 0: unlimited
	ChannelLimits
	// PerChannel maps channel names or patterns to limits.
	PerChannel map[string]ChannelLimits
}

// prunes reports whether the limits remove messages.
func (l ChannelLimits) prunes() bool {
	return l.MaxMsgs > 0 || l.MaxBytes > 0 || l.MaxAge > 0 || l.MaxInactivity > 0
}

// ValidateOf reports an invalid entry of PerChannel, given the event channels.
func (l Limits) ValidateOf(p string, events Events) error {
	if !ValidPattern(p) {
		return fmt.Errorf("limits of channel %q: not a valid channel name or pattern", p)
	}
	if !l.PerChannel[p].prunes() {
		return nil
	}
	for _, channels := range events.Patterns() {
		if Overlap(p, channels) {
			return fmt.Errorf("limits of channel %q would remove events of %q: only subscriptions can be limited on event channels", p, channels)
		}
	}
	return nil
}

// OfPattern returns the limits of an entry of PerChannel, with what it inherits.
func (l Limits) OfPattern(pattern string) ChannelLimits {
	wider := Limits{ChannelLimits: l.ChannelLimits, PerChannel: maps.Clone(l.PerChannel)}
	maps.DeleteFunc(wider.PerChannel, func(p string, _ ChannelLimits) bool { return !Covers(p, pattern) })
	return wider.of(pattern, false)
}

// of returns a channel's limits, in which zero means unlimited. From the widest matching entry to the narrowest, each
// overrides what it sets.
func (l Limits) of(name string, event bool) ChannelLimits {
	patterns := slices.DeleteFunc(slices.Collect(maps.Keys(l.PerChannel)), func(p string) bool { return !Matches(p, name) })
	slices.SortFunc(patterns, widestFirst)
	limits := l.ChannelLimits
	for _, p := range patterns {
		entry := l.PerChannel[p]
		limits.MaxSubscriptions = override(limits.MaxSubscriptions, entry.MaxSubscriptions)
		limits.MaxMsgs = override(limits.MaxMsgs, entry.MaxMsgs)
		limits.MaxBytes = override(limits.MaxBytes, entry.MaxBytes)
		limits.MaxAge = override(limits.MaxAge, entry.MaxAge)
		limits.MaxInactivity = override(limits.MaxInactivity, entry.MaxInactivity)
	}
	if event {
		return ChannelLimits{MaxSubscriptions: limits.MaxSubscriptions}
	}
	return limits
}

func override[T int | int64 | time.Duration](wider, entry T) T {
	switch {
	case entry == 0:
		return wider
	case entry < 0:
		return 0
	}
	return entry
}

// widestFirst orders patterns that match the same channel. At the first token that differs, > is wider than *, and * is
// wider than a word.
func widestFirst(a, b string) int {
	width := func(token string) int {
		switch token {
		case ">":
			return 0
		case "*":
			return 1
		}
		return 2
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if c := cmp.Compare(width(as[i]), width(bs[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}
