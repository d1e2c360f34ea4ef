package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// EventBlock declares channels on which every message must be an event.
type EventBlock struct {
	// Channels are patterns of channel names: tokens separated by dots, * for any one token, > for the rest.
	Channels []string
	// Versions say which event_version the channels accept; the first whose pattern matches a channel counts, and a
	// channel that none matches is strict.
	Versions []ChannelVersions
	// Payload says how an event is read from a message. The zero value stands for an eventstore.v1.Event.
	Payload proto.MappingConfig
}

// eventBlock is an EventBlock that was checked.
type eventBlock struct {
	EventBlock
	mapping *proto.Mapping // nil: of eventstore.v1.Event
}

// eventBlocks declare all event channels. The first block with a pattern that matches a channel counts.
type eventBlocks []eventBlock

// newEventBlocks checks blocks. An error names the block by its channels.
func newEventBlocks(blocks []EventBlock) (eventBlocks, error) {
	all := make(eventBlocks, len(blocks))
	for i, b := range blocks {
		if len(b.Channels) == 0 {
			return nil, fmt.Errorf("events block %d: channels: is missing", i+1)
		}
		for _, p := range b.Channels {
			if !validPattern(p) {
				return nil, fmt.Errorf("event channel pattern %q is not valid", p)
			}
		}
		all[i].EventBlock = b
		if b.Payload == (proto.MappingConfig{}) {
			continue
		}
		var err error
		if all[i].mapping, err = proto.NewMapping(b.Payload); err != nil {
			return nil, fmt.Errorf("events block of channels %s: %w", strings.Join(b.Channels, ", "), err)
		}
	}
	return all, nil
}

// of returns the block of a channel, nil if it is no event channel.
func (all eventBlocks) of(channel string) *eventBlock {
	for i := range all {
		if slices.ContainsFunc(all[i].Channels, func(p string) bool { return matches(p, channel) }) {
			return &all[i]
		}
	}
	return nil
}

// patterns returns the patterns of all event channels.
func (all eventBlocks) patterns() []string {
	var patterns []string
	for _, b := range all {
		patterns = append(patterns, b.Channels...)
	}
	return patterns
}

// versions returns which event_version a channel of the block accepts. What options say for all channels comes first.
func (b *eventBlock) versions(options []ChannelVersions, channel string) stores.Versions {
	return versionsOf(slices.Concat(options, b.Versions), channel)
}
