package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/eventjson"
)

// protobufContentType is that of data that append has encoded, unless a flag says otherwise.
const protobufContentType = "application/protobuf"

// protobufFlags say to encode JSON data as a protobuf message.
type protobufFlags struct {
	descriptors, message string

	kind  protoreflect.MessageDescriptor
	types *dynamicpb.Types
}

func (f *protobufFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.descriptors, "descriptors", "", "encode the data as protobuf: file with a descriptor set, as buf build -o and protoc --include_imports --descriptor_set_out write it")
	flags.StringVar(&f.message, "message", "", "full name of the message in it, such as shop.v1.OrderPaid")
}

// load reads the descriptor set, once.
func (f *protobufFlags) load() error {
	if (f.descriptors == "") != (f.message == "") {
		return usage("--descriptors and --message need each other")
	}
	if f.descriptors == "" || f.kind != nil {
		return nil
	}
	text, err := os.ReadFile(f.descriptors)
	if err != nil {
		return fmt.Errorf("--descriptors: %w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(text, &set); err != nil {
		return usage("--descriptors %s is not a descriptor set: make one with buf build -o FILE", f.descriptors)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return usage("--descriptors %s: %v", f.descriptors, err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(f.message))
	kind, ok := found.(protoreflect.MessageDescriptor)
	if err != nil || !ok {
		return usage("--descriptors %s has no message %q: it has %s", f.descriptors, f.message, namesIn(files))
	}
	f.kind, f.types = kind, dynamicpb.NewTypes(files)
	return nil
}

// namesIn lists the first messages of the files.
func namesIn(files *protoregistry.Files) string {
	names, more := "", 0
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			if len(names) > 200 {
				more++
				continue
			}
			if names != "" {
				names += ", "
			}
			names += string(file.Messages().Get(i).FullName())
		}
		return true
	})
	if more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}

// encode replaces the JSON data of an event by the message that it describes.
func (f *protobufFlags) encode(e *eventjson.Event) error {
	if err := f.load(); err != nil || f.kind == nil {
		return err
	}
	message := dynamicpb.NewMessage(f.kind)
	if err := (protojson.UnmarshalOptions{Resolver: f.types}).Unmarshal(e.Payload(), message); err != nil {
		return usage("the data is not a %s in JSON: %v", f.message, err)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return err
	}
	e.Data, e.DataBase64 = nil, encoded
	if e.ContentType == "" {
		e.ContentType = protobufContentType
	}
	return nil
}
