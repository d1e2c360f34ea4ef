package proto

import (
	"errors"
	"fmt"
	"iter"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// wellKnown are the files of the well-known types, which have special JSON forms.
var wellKnown = []protoreflect.FileDescriptor{
	anypb.File_google_protobuf_any_proto,
	durationpb.File_google_protobuf_duration_proto,
	emptypb.File_google_protobuf_empty_proto,
	fieldmaskpb.File_google_protobuf_field_mask_proto,
	structpb.File_google_protobuf_struct_proto,
	timestamppb.File_google_protobuf_timestamp_proto,
	wrapperspb.File_google_protobuf_wrappers_proto,
}

// anyName is the type that holds a message of any other type.
const anyName protoreflect.FullName = "google.protobuf.Any"

// findMessage returns a message type of a descriptor set, and all types of the set.
func findMessage(file, name string) (protoreflect.MessageDescriptor, *dynamicpb.Types, error) {
	switch {
	case file == "":
		return nil, nil, errors.New("descriptor_set is missing: name the file that buf build writes; for events in JSON, set format: json")
	case name == "":
		return nil, nil, errors.New("message is missing: name the message type of the payloads, such as acme.orders.v1.OrderEvent")
	}
	files, err := readDescriptors(file)
	if err != nil {
		return nil, nil, fmt.Errorf("descriptor_set: %w", err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	message, ok := d.(protoreflect.MessageDescriptor)
	if err != nil || !ok || message.IsMapEntry() {
		return nil, nil, fmt.Errorf("message: %q is not a message type in %q", name, file)
	}
	return message, dynamicpb.NewTypes(files), nil
}

// checkWellKnown refuses types that have the name but not the fields of a well-known type, because protojson relies on the
// fields.
func checkWellKnown(files *protoregistry.Files) error {
	for _, file := range wellKnown {
		for i := range file.Messages().Len() {
			want := file.Messages().Get(i)
			d, err := files.FindDescriptorByName(want.FullName())
			if err != nil {
				continue // not in the set
			}
			if md, ok := d.(protoreflect.MessageDescriptor); !ok || !sameFields(md, want) {
				return fmt.Errorf("%s does not have the fields of the well-known type", want.FullName())
			}
		}
	}
	return nil
}

// sameFields reports whether md has all fields of want with the same types.
func sameFields(md, want protoreflect.MessageDescriptor) bool {
	for i := range want.Fields().Len() {
		w := want.Fields().Get(i)
		f := md.Fields().ByNumber(w.Number())
		if f == nil || f.Name() != w.Name() || !sameType(f, w) || oneofName(f) != oneofName(w) || f.IsMap() != w.IsMap() {
			return false
		}
		if w.IsMap() && (!sameType(f.MapKey(), w.MapKey()) || !sameType(f.MapValue(), w.MapValue())) {
			return false
		}
	}
	return true
}

func sameType(f, want protoreflect.FieldDescriptor) bool {
	return f.Kind() == want.Kind() && f.Cardinality() == want.Cardinality() && typeName(f) == typeName(want)
}

// oneofName returns the name of the oneof that a field is of, or "".
func oneofName(f protoreflect.FieldDescriptor) protoreflect.Name {
	if of := f.ContainingOneof(); of != nil {
		return of.Name()
	}
	return ""
}

// reachable yields a message type and, recursively, the message types of its fields.
func reachable(md protoreflect.MessageDescriptor) iter.Seq[protoreflect.MessageDescriptor] {
	return func(yield func(protoreflect.MessageDescriptor) bool) {
		seen := map[protoreflect.FullName]bool{md.FullName(): true}
		for next := []protoreflect.MessageDescriptor{md}; len(next) > 0; {
			md := next[0]
			next = next[1:]
			if !yield(md) {
				return
			}
			for i := range md.Fields().Len() {
				if to := md.Fields().Get(i).Message(); to != nil && !seen[to.FullName()] {
					seen[to.FullName()] = true
					next = append(next, to)
				}
			}
		}
	}
}

// readDescriptors reads a file with a descriptor set.
func readDescriptors(file string) (*protoregistry.Files, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: buf build or protoc writes it", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(content, &set); err != nil {
		return nil, fmt.Errorf("%q is not a google.protobuf.FileDescriptorSet", file)
	}
	present := make(map[string]bool, len(set.GetFile()))
	for _, fd := range set.GetFile() {
		present[fd.GetName()] = true
	}
	for _, fd := range set.GetFile() {
		for _, dep := range fd.GetDependency() {
			if !present[dep] {
				return nil, fmt.Errorf("%q contains %s but not its import %s: create it with buf build or protoc --include_imports",
					file, fd.GetName(), dep)
			}
		}
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	if err := checkWellKnown(files); err != nil {
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	return files, nil
}
