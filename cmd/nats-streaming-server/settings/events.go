package settings

import (
	"errors"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// eventsKey is the key of a block, or a list of blocks, that declares event channels. The keys of one block are the settings
// below.
const eventsKey = "events"

// eventSettings declare event channels.
var eventSettings = []setting{
	{
		flags: []string{"event_channels"}, keys: under(events, "channels"), kind: list, value: "<patterns>",
		usage: "Channels whose messages must be events, comma-separated", def: config.DefaultEventChannels,
		state: added,
		set: func(o *Options, v, _ string) error {
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
		usage: "How event channels check event_version: strict, unique or off", def: "strict",
		state: added,
		set: func(o *Options, v, _ string) error {
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
	mapping("format", "Format of the payloads: protobuf, json or cloudevents",
		func(b *eventlog.EventBlock) *string { return &b.Payload.Format }).or("protobuf", "protobuf", "json", "cloudevents"),
	mapping("descriptor_set", "File with the FileDescriptorSet of the payload's message type; without it, eventstore.v1.Event",
		func(b *eventlog.EventBlock) *string { return &b.Payload.DescriptorSet }),
	mapping("message", "Full name of that message type",
		func(b *eventlog.EventBlock) *string { return &b.Payload.Message }),
	mapping("aggregate_id", "Source of aggregate_id: a field, such as order.id; in JSON a member, such as $.order.id; or a text, such as \"= all\"",
		func(b *eventlog.EventBlock) *string { return &b.Payload.AggregateID }),
	mapping("aggregate_type", "Source of aggregate_type: a field or member, a text, $message, oneof:name or oneof_type:name",
		func(b *eventlog.EventBlock) *string { return &b.Payload.AggregateType }),
	mapping("event_type", "Source of event_type: a field or member, a text, $message, oneof:name or oneof_type:name",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventType }),
	mapping("event_id", "Source of event_id: a field or member",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventID }),
	mapping("event_version", "Source of event_version: an integer field or member; assigned versions are written there",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventVersion }),
	mapping("event_data", "Source of event_data: a field or member, oneof:name, $message, or $ for all of the JSON",
		func(b *eventlog.EventBlock) *string { return &b.Payload.EventData }),
	mapping("metadata", "Source of metadata: a field that is a message or a map, or a member that is an object",
		func(b *eventlog.EventBlock) *string { return &b.Payload.Metadata }),
	mapping("occurred_at", "Source of occurred_at, which the API shows: a member with an RFC 3339 timestamp; only JSON",
		func(b *eventlog.EventBlock) *string { return &b.Payload.OccurredAt }),
	{
		keys: under(events, "tags"), kind: list, state: added,
		usage: "Tags: texts with sources in braces, such as \"customer:{customer.id}\" or, in JSON, \"customer:{$.customer.id}\"; sources alone, which may be lists",
		set: func(o *Options, v, _ string) error {
			o.block.Payload.Tags = splitList(v)
			return nil
		},
	},
	{
		keys: under(events, "delays"), kind: toggle, state: added,
		usage: "Deliver an event to durables and queue groups not before deliver_at in its metadata, a timestamp of RFC 3339",
		set:   setBool(func(o *Options) *bool { return &o.block.Delays }),
	},
}

var events = []string{eventsKey}

// mapping returns the option for one source of a mapping. It has a key but no flag.
func mapping(key, usage string, field func(*eventlog.EventBlock) *string) setting {
	return setting{
		keys: under(events, key), usage: usage, state: added,
		set: func(o *Options, v, _ string) error {
			*field(o.block) = v
			return nil
		},
	}
}

// applyEvents sets the options of an events block, or of a list of blocks, and replaces the default. A single block may omit
// channels. The indexes are the union over all blocks.
func (o *Options) applyEvents(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix = eventsKey + "."
	o.Events = make([]eventlog.EventBlock, len(blocks))
	defer func() { o.block = nil }()
	var data, metadata []string
	var errs []error
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			errs = append(errs, &placedError{place(b.file, tk), wrongType(name, block, tk)})
			continue
		}
		if o.block, o.index = &o.Events[i], i; !several {
			o.block.Channels = []string{config.DefaultEventChannels}
		}
		o.block.At = place(b.file, tk)
		errs = append(errs, o.applyBlock(b, content))
		data, metadata = append(data, o.Store.IndexEventData...), append(metadata, o.Store.IndexMetadata...)
		o.Store.IndexEventData, o.Store.IndexMetadata = nil, nil
	}
	slices.Sort(data)
	slices.Sort(metadata)
	o.Store.IndexEventData, o.Store.IndexMetadata = slices.Compact(data), slices.Compact(metadata)
	return errors.Join(errs...)
}
