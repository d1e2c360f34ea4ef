package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/eventjson"
	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// protobufContentType is that of data that append has encoded, unless a flag says otherwise.
const protobufContentType = "application/protobuf"

// protobufFlags name the protobuf messages that event_data is.
type protobufFlags struct {
	file, message string

	loaded *proto.Descriptors
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
func (f *protobufFlags) load() error {
	if f.file == "" && f.message != "" {
		return usage("--message is one of a descriptor set: name its file with --descriptors")
	}
	if f.file == "" || f.loaded != nil {
		return nil
	}
	loaded, err := proto.ReadDescriptors(f.file)
	if err != nil {
		return usage("--descriptors: %w", err)
	}
	if f.message != "" && !loaded.Has(f.message) {
		_, err := loaded.JSON(f.message, nil)
		return usage("--message: %w", err)
	}
	f.loaded = loaded
	return nil
}

// messageOf returns the name of the message that the data of an event is.
func (f *protobufFlags) messageOf(e *eventjson.Event) string {
	if f.message != "" {
		return f.message
	}
	return e.Type
}

// encode replaces the JSON data of an event by the message that it describes.
func (f *protobufFlags) encode(e *eventjson.Event) error {
	if err := f.load(); err != nil || f.loaded == nil {
		return err
	}
	encoded, err := f.loaded.Encode(f.messageOf(e), e.Payload())
	if err != nil {
		return usage("--descriptors: %w", err)
	}
	e.Data, e.DataBase64 = nil, encoded
	if e.ContentType == "" {
		e.ContentType = protobufContentType
	}
	return nil
}

// event converts a stored event, with the JSON form of data that is protobuf. What cannot be decoded stays as it is.
func (f *protobufFlags) event(r *eventstorev1.RecordedEvent) *eventjson.Event {
	e := eventjson.Of(r)
	if f == nil || f.loaded == nil || r.GetEvent() == nil || !f.loaded.Has(f.messageOf(e)) {
		return e
	}
	if !strings.Contains(e.ContentType, "protobuf") && (e.Data != nil || strings.Contains(e.ContentType, "json") || len(r.GetEvent().GetEventData()) == 0) {
		return e // it is JSON, or nothing
	}
	if text, err := f.loaded.JSON(f.messageOf(e), r.GetEvent().GetEventData()); err == nil {
		e.Data, e.DataBase64 = text, r.GetEvent().GetEventData()
	}
	return e
}
