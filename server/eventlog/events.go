package eventlog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// EventBlock declares channels on which every message must be an event.
type EventBlock struct {
	// At is where the block is configured. Errors begin with it.
	At string
	// Channels are patterns of channel names: tokens separated by dots; * matches one token, > the rest.
	Channels []string
	// Versions select which event_version the channels accept. The first matching pattern counts. Without a match, a
	// channel is strict.
	Versions []ChannelVersions
	// Payload tells how to read an event from a message. The zero value means eventstore.v1.Event.
	Payload proto.MappingConfig
	// Delays lets events ask, by DeliverAt in their metadata, to be delivered to consumers later.
	Delays bool
	// Encrypt says which values of the events are encrypted, and whose they are.
	Encrypt []EncryptedFields
	// PlainSubscribers gives clients of NATS Streaming those values decrypted.
	PlainSubscribers bool
}

// EncryptedFields are values of events that are encrypted with the key of a person.
type EncryptedFields = proto.SealConfig

// Block is a validated EventBlock.
type Block struct {
	EventBlock
	Mapping *proto.Mapping // nil: the messages are eventstore.v1.Event
	Seals   *proto.Seals   // nil: nothing is encrypted
}

// Events are validated blocks. The first block with a matching pattern counts.
type Events struct{ blocks []*Block }

// NewEvents validates blocks. Its error names the block by its place and its channels.
func NewEvents(blocks []EventBlock) (Events, error) {
	var events Events
	for i, b := range blocks {
		checked := &Block{EventBlock: b}
		events.blocks = append(events.blocks, checked)
		if err := checked.compile(); err != nil {
			name := fmt.Sprintf("events block %d", i+1)
			if len(b.Channels) > 0 {
				name = "events block of channels " + strings.Join(b.Channels, ", ")
			}
			if b.At != "" {
				name = b.At + ": " + name
			}
			return Events{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return events, nil
}

// compile checks the block and compiles its mapping.
func (b *Block) compile() (err error) {
	if len(b.Channels) == 0 {
		return errors.New("channels are missing: name them, such as channels: [\"orders.>\"]")
	}
	for _, p := range b.Channels {
		if !ValidPattern(p) {
			return fmt.Errorf("channels: %q is not a pattern: write names, with * for one token between dots, > for the rest", p)
		}
	}
	if !b.Payload.IsZero() {
		b.Mapping, err = proto.NewMapping(b.Payload)
	}
	switch {
	case err != nil:
	case len(b.Encrypt) > 0:
		b.Seals, err = proto.NewSeals(b.Payload, b.Encrypt)
	case b.PlainSubscribers:
		err = errors.New("plain_subscribers needs encrypt: name the fields to encrypt, or remove it")
	}
	return err
}

// Describe returns the block's log line.
func (b *EventBlock) Describe() string {
	return "Event channels: " + strings.Join(b.Channels, ", ") + ": " + b.Format()
}

// Format names what a message of the channels is.
func (b *EventBlock) Format() string {
	return cmp.Or(b.Payload.Message, b.Payload.Format, "eventstore.v1.Event")
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

// Encrypt reports whether events of some channel have values to encrypt.
func (e Events) Encrypt() bool {
	return slices.ContainsFunc(e.blocks, func(b *Block) bool { return b.Seals != nil })
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
