package api

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// contract is the package whose requests must not have unknown fields. The other services' contracts are not ours.
var contract = eventstorev1.File_eventstore_v1_service_proto.Package()

// nameOfEvent is the type of what a request carries, not what it asks for: an unknown field of it is stored, as through NATS Streaming.
var nameOfEvent = (*eventstorev1.Event)(nil).ProtoReflect().Descriptor().FullName()

// refuseUnknown returns an error if a request has a field that this server does not know. A newer client may ask with it
// for something that the request must not go without, such as a precondition.
func refuseUnknown(m protoreflect.Message) error {
	d := m.Descriptor()
	if d.ParentFile().Package() != contract || d.FullName() == nameOfEvent {
		return nil
	}
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return fmt.Errorf("unknown field %d of %s: this server is older than the client: upgrade the server, or do not use the field", number, d.FullName())
	}
	var err error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		err = refuseUnknownIn(field, value)
		return err == nil
	})
	return err
}

func refuseUnknownIn(field protoreflect.FieldDescriptor, value protoreflect.Value) error {
	switch {
	case field.Message() == nil || field.IsMap() || field.Message().FullName() == nameOfEvent:
		return nil
	case !field.IsList():
		return refuseUnknown(value.Message())
	}
	list := value.List()
	for i := range list.Len() {
		if err := refuseUnknown(list.Get(i).Message()); err != nil {
			return err
		}
	}
	return nil
}
