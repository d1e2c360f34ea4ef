package main

import (
	"errors"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// eventsKey is the key of a block, or a list of blocks, that declares event channels. The settings below, as keys, are
// those of one block.
const eventsKey = "events"

// eventSettings declare event channels.
var eventSettings = []setting{
	{
		flags: []string{"event_channels"}, keys: under(events, "channels"), kind: list, value: "<patterns>",
		usage: "Channels whose messages must be events, comma separated (default " + config.DefaultEventChannels + ")",
		state: added,
		set: func(o *options, v, _ string) error {
			switch {
			case o.block != nil:
				o.block.Channels = splitList(v)
			case len(o.Events) == 1:
				o.Events[0].Channels = splitList(v)
			case len(o.Events) == 0:
				o.Events = []eventlog.EventBlock{{Channels: splitList(v)}}
			default:
				return errors.New("the configuration file has several events blocks: name the channels there")
			}
			return nil
		},
	},
	{
		flags: []string{"event_versions"}, keys: under(events, "versions"), kind: list, value: "<pattern=mode>",
		usage: "Which event_version event channels accept: strict, unique or off (default strict)",
		state: added,
		set: func(o *options, v, _ string) error {
			var all []eventlog.ChannelVersions
			for _, item := range splitList(v) {
				versions, err := eventlog.ParseChannelVersions(item)
				if err != nil {
					return err
				}
				all = append(all, versions)
			}
			if o.block != nil {
				o.block.Versions = all
			} else {
				o.Versions = all
			}
			return nil
		},
	},
	mapping("descriptor_set", "File of the FileDescriptorSet of the message type of payloads (default eventstore.v1.Event)",
		func(b *eventlog.EventBlock) *string { return &b.Payload.DescriptorSet }),
	mapping("message", "Full name of that message type",
		func(b *eventlog.EventBlock) *string { return &b.Payload.Message }),
	mapping("aggregate_id", "Field of aggregate_id, such as order.id, or a text, such as \"= all\"",
		func(b *eventlog.EventBlock) *string { return &b.Payload.AggregateID }),
	mapping("aggregate_type", "Field or text of aggregate_type, $message, oneof:name or oneof_type:name",
		func(b *eventlog.EventBlock) *string { return &b.Payload.AggregateType }),
	mapping("event_type", "The same of event_type",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventType }),
	mapping("event_id", "Field of event_id",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventID }),
	mapping("event_version", "Field of event_version, an integer",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventVersion }),
	mapping("event_data", "Field of event_data, oneof:name or $message",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventData }),
	mapping("metadata", "Field of metadata, a message or a map",
		func(b *eventlog.EventBlock) *string { return &b.Payload.Metadata }),
}

var events = []string{eventsKey}

// mapping returns the option of one part of a mapping, which is a key of a block only.
func mapping(key, usage string, field func(*eventlog.EventBlock) *string) setting {
	return setting{
		keys: under(events, key), usage: usage, state: added,
		set: func(o *options, v, _ string) error {
			*field(o.block) = v
			return nil
		},
	}
}

// applyEvents sets the options of a block of events, or of a list of blocks, which replaces the default. A single one
// may leave the channels at their default. The indexes are those of all blocks together.
func (o *options) applyEvents(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix = eventsKey + "."
	o.Events = make([]eventlog.EventBlock, len(blocks))
	defer func() { o.block = nil }()
	var data, metadata []string
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			return &placedError{place(b.file, tk), wrongType(name, "map", tk)}
		}
		if o.block = &o.Events[i]; !several {
			o.block.Channels = []string{config.DefaultEventChannels}
		}
		if err := o.applyBlock(b, content); err != nil {
			return err
		}
		data, metadata = append(data, o.Store.IndexEventData...), append(metadata, o.Store.IndexMetadata...)
		o.Store.IndexEventData, o.Store.IndexMetadata = nil, nil
	}
	slices.Sort(data)
	slices.Sort(metadata)
	o.Store.IndexEventData, o.Store.IndexMetadata = slices.Compact(data), slices.Compact(metadata)
	return nil
}
