package proto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Descriptors are the message types of a descriptor set. They translate data between protobuf and its JSON form.
type Descriptors struct {
	file   string
	byName map[string]protoreflect.MessageDescriptor // by full name, and by the last part of it if that is unique
	names  []string                                  // full names, sorted
	types  *dynamicpb.Types
}

// ReadDescriptors reads a file with a descriptor set, as buf build and protoc --include_imports write it.
func ReadDescriptors(file string) (*Descriptors, error) {
	files, err := readDescriptors(file)
	if err != nil {
		return nil, err
	}
	d := &Descriptors{file: file, byName: map[string]protoreflect.MessageDescriptor{}, types: dynamicpb.NewTypes(files)}
	short := map[string]protoreflect.MessageDescriptor{}
	var add func(protoreflect.MessageDescriptors)
	add = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			m := all.Get(i)
			if m.IsMapEntry() {
				continue
			}
			d.byName[string(m.FullName())] = m
			d.names = append(d.names, string(m.FullName()))
			if _, twice := short[string(m.Name())]; twice {
				short[string(m.Name())] = nil
			} else {
				short[string(m.Name())] = m
			}
			add(m.Messages())
		}
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		add(f.Messages())
		return true
	})
	for name, m := range short {
		if _, full := d.byName[name]; !full && m != nil {
			d.byName[name] = m
		}
	}
	slices.Sort(d.names)
	return d, nil
}

// Has reports whether a name is that of a message type: its full name, or the last part if no other type has that.
func (d *Descriptors) Has(name string) bool { return d.byName[name] != nil }

// message returns a message type.
func (d *Descriptors) message(name string) (protoreflect.MessageDescriptor, error) {
	if m := d.byName[name]; m != nil {
		return m, nil
	}
	some, more := d.names, ""
	if len(some) > 10 {
		some, more = some[:10], fmt.Sprintf(" and %d more", len(d.names)-10)
	}
	return nil, fmt.Errorf("%s has no message %q: it has %s%s", d.file, name, strings.Join(some, ", "), more)
}

// JSON returns the JSON form of a message, on one line.
func (d *Descriptors) JSON(name string, data []byte) ([]byte, error) {
	kind, err := d.message(name)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(kind)
	if err := (proto.UnmarshalOptions{Resolver: d.types}).Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("the data is not a %s: %w", kind.FullName(), err)
	}
	text, err := (protojson.MarshalOptions{Resolver: d.types}).Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("the data is not a %s with a JSON form: %w", kind.FullName(), err)
	}
	var line bytes.Buffer // protojson varies its white space
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// Encode returns the message that JSON describes. Equal JSON gives equal bytes.
func (d *Descriptors) Encode(name string, text []byte) ([]byte, error) {
	kind, err := d.message(name)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(kind)
	if err := (protojson.UnmarshalOptions{Resolver: d.types}).Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the data is not a %s in JSON: %w", kind.FullName(), err)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
