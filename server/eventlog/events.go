package eventlog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// EventBlock declares channels on which every message must be an event.
type EventBlock struct {
	// Channels are patterns of channel names: tokens separated by dots; * matches one token, > the rest.
	Channels []string
	// Versions select which event_version the channels accept. The first matching pattern counts. Without a match, a
	// channel is strict.
	Versions []ChannelVersions
	// Payload tells how to read an event from a message. The zero value means eventstore.v1.Event.
	Payload proto.MappingConfig
}

// Block is a validated EventBlock.
type Block struct {
	EventBlock
	Mapping *proto.Mapping // nil: the messages are eventstore.v1.Event
}

// Events are validated blocks. The first block with a matching pattern counts.
type Events struct{ blocks []*Block }

// NewEvents validates blocks. Its error names the block by its channels.
func NewEvents(blocks []EventBlock) (Events, error) {
	var events Events
	for i, b := range blocks {
		if len(b.Channels) == 0 {
			return Events{}, fmt.Errorf("events block %d: channels are missing", i+1)
		}
		for _, p := range b.Channels {
			if !ValidPattern(p) {
				return Events{}, fmt.Errorf("event channel pattern %q is not valid", p)
			}
		}
		checked := &Block{EventBlock: b}
		events.blocks = append(events.blocks, checked)
		if b.Payload == (proto.MappingConfig{}) {
			continue
		}
		var err error
		if checked.Mapping, err = proto.NewMapping(b.Payload); err != nil {
			return Events{}, fmt.Errorf("events block of channels %s: %w", strings.Join(b.Channels, ", "), err)
		}
	}
	return events, nil
}

// Describe returns the block's log line.
func (b *EventBlock) Describe() string {
	format := "eventstore.v1.Event"
	switch {
	case b.Payload.Message != "":
		format = b.Payload.Message
	case b.Payload.Format != "":
		format = b.Payload.Format
	}
	return "Event channels: " + strings.Join(b.Channels, ", ") + ": " + format
}

// Of returns a channel's block, or nil if it is not an event channel.
func (e Events) Of(channel string) *Block {
	for _, b := range e.blocks {
		if slices.ContainsFunc(b.Channels, func(p string) bool { return Matches(p, channel) }) {
			return b
		}
	}
	return nil
}

// Patterns returns the patterns of all event channels.
func (e Events) Patterns() []string {
	var patterns []string
	for _, b := range e.blocks {
		patterns = append(patterns, b.Channels...)
	}
	return patterns
}

// VersionsOf returns which event_version a channel of the block accepts. The server's own options override the block.
func (b *Block) VersionsOf(options []ChannelVersions, channel string) stores.Versions {
	return versionsOf(slices.Concat(options, b.Versions), channel)
}
