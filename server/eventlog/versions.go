package eventlog

import (
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ChannelVersions sets which event_version the event channels of a pattern accept.
type ChannelVersions struct {
	Pattern  string
	Versions stores.Versions
}

// ParseChannelVersions parses "pattern=mode", or "mode" for all event channels. A mode is strict, unique or off.
func ParseChannelVersions(text string) (ChannelVersions, error) {
	pattern, mode, ok := strings.Cut(text, "=")
	if !ok {
		pattern, mode = ">", text
	}
	v := ChannelVersions{Pattern: strings.TrimSpace(pattern)}
	if !ValidPattern(v.Pattern) {
		return v, fmt.Errorf("versions %q: %q is not a pattern of channels", text, v.Pattern)
	}
	var err error
	v.Versions, err = stores.ParseVersions(strings.TrimSpace(mode))
	return v, err
}

// versionsOf returns the versions of the first matching pattern, or strict without one.
func versionsOf(all []ChannelVersions, channel string) stores.Versions {
	for _, v := range all {
		if Matches(v.Pattern, channel) {
			return v.Versions
		}
	}
	return stores.VersionsStrict
}
