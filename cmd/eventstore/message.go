package main

import (
	"encoding/base64"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// messageJSON returns a message of the API as -o json prints it: its fields by their names in the contract, 64-bit numbers as numbers,
// times as RFC 3339, durations as Go writes them, enumerations in lower case without their prefix. An absent field is left out, a
// field of a plain type is not.
func messageJSON(m proto.Message) map[string]any {
	object := make(map[string]any)
	message := m.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !message.Has(field) && (field.HasPresence() || field.IsMap()) {
			continue
		}
		object[string(field.Name())] = fieldJSON(field, message.Get(field))
	}
	return object
}

func fieldJSON(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch {
	case field.IsList():
		all := make([]any, 0, value.List().Len())
		for i := range value.List().Len() {
			all = append(all, valueJSON(field, value.List().Get(i)))
		}
		return all
	case field.IsMap():
		all := make(map[string]any)
		value.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
			all[key.String()] = valueJSON(field.MapValue(), v)
			return true
		})
		return all
	}
	return valueJSON(field, value)
}

func valueJSON(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch m := value.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			return m.AsTime().Format(time.RFC3339Nano)
		case *durationpb.Duration:
			return m.AsDuration().String()
		default:
			return messageJSON(m)
		}
	case protoreflect.EnumKind:
		found := field.Enum().Values().ByNumber(value.Enum())
		if found == nil {
			return int32(value.Enum())
		}
		return enumName(field.Enum(), found)
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(value.Bytes())
	}
	return value.Interface()
}

// enumName returns DOOR_NATS_STREAMING of Door as nats_streaming.
func enumName(enum protoreflect.EnumDescriptor, value protoreflect.EnumValueDescriptor) string {
	prefix := strings.ToUpper(string(enum.Name())) + "_"
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix))
}
