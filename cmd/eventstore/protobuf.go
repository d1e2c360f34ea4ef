package main

import (
	"cmp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// protobufContentType is that of data that append has encoded, unless a flag says otherwise.
const protobufContentType = "application/protobuf"

// protobufFlags name the protobuf messages that event_data is.
type protobufFlags struct {
	file, message string

	types *proto.Decoder // nil without a descriptor set
}

// registerEncoding registers the flags of commands that encode, registerDecoding those of commands that decode.
func (f *protobufFlags) registerEncoding(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "descriptors", "", "encode the data as protobuf: file with a descriptor set, as buf build -o and protoc --include_imports --descriptor_set_out write it")
	flags.StringVar(&f.message, "message", "", "name of the message in it, such as shop.v1.OrderPaid (default the type of the event)")
}

func (f *protobufFlags) registerDecoding(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "descriptors", "", "show data that is protobuf as JSON: file with a descriptor set, as buf build -o and protoc --include_imports --descriptor_set_out write it")
	flags.StringVar(&f.message, "message", "", "name of the message in it that the data is, such as shop.v1.OrderPaid (default the type of each event)")
}

// load reads the descriptor set, once.
func (f *protobufFlags) load() (err error) {
	if f.file == "" && f.message != "" {
		return usage("--message is one of a descriptor set: name its file with --descriptors")
	}
	if f.file == "" || f.types != nil {
		return nil
	}
	types, err := proto.NewDecoder(f.file)
	if err != nil {
		return usage("--descriptors: %w", err)
	}
	if f.message != "" {
		if f.message, err = types.Find(f.message); err != nil {
			return usage("--message: %w", err)
		}
	}
	f.types = types
	return nil
}

// loadFor is load for commands that read. The configuration of a server names descriptor sets, too.
func (f *protobufFlags) loadFor(t *tool) error {
	if err := f.load(); err != nil || f.types != nil || t.flags.offline.config == "" {
		return err
	}
	o, err := t.flags.offline.options()
	if err != nil {
		return err
	}
	var files []string
	for _, b := range o.Events {
		if b.Payload.DescriptorSet != "" {
			files = append(files, b.Payload.DescriptorSet)
		}
	}
	if len(files) > 0 {
		if f.types, err = proto.NewDecoder(files...); err != nil {
			return usage("--server-config: %w", err)
		}
	}
	return nil
}

// encode replaces the JSON data of an event by the message that it describes.
func (f *protobufFlags) encode(e *eventjson.Event) error {
	if err := f.load(); err != nil || f.types == nil {
		return err
	}
	name, err := f.message, error(nil)
	if name == "" {
		if name, err = f.types.Find(e.Type); err != nil {
			return usage("--message is missing, and the type of the event does not name one: %w", err)
		}
	}
	encoded, err := f.types.Encode(name, e.Payload())
	if err != nil {
		return usage("--descriptors: %w", err)
	}
	e.Data, e.DataBase64 = nil, encoded
	e.ContentType = cmp.Or(e.ContentType, protobufContentType)
	return nil
}

// event converts a stored event, with the JSON form of data that is protobuf. What cannot be decoded stays as it is.
func (f *protobufFlags) event(r *eventstorev1.RecordedEvent) *eventjson.Event {
	e := eventjson.Of(r)
	if f == nil || f.types == nil || r.GetEvent() == nil {
		return e
	}
	data := r.GetEvent().GetEventData()
	if len(data) == 0 {
		return e
	}
	if !strings.Contains(e.ContentType, "protobuf") && (e.Data != nil || strings.Contains(e.ContentType, "json")) {
		return e // it is JSON
	}
	if text, ok := f.types.JSON(cmp.Or(f.message, f.types.TypeOf(e.ContentType, e.Type)), data); ok {
		e.Data, e.DataBase64 = text, data
	}
	return e
}
