package proto

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// shownNames bounds the names of an error.
const shownNames = 10

// Find returns the full name of a message type, which may be given without its package if only one has that name. The error names types.
func (d *Decoder) Find(name string) (string, error) {
	if found := d.TypeOf("", name); found != "" {
		return found, nil
	}
	names, more := slices.Sorted(maps.Keys(d.types)), ""
	if len(names) > shownNames {
		names, more = names[:shownNames], fmt.Sprintf(" and %d more", len(names)-shownNames)
	}
	return "", fmt.Errorf("there is no message %q: there are %s%s", name, strings.Join(names, ", "), more)
}

// Encode returns the message of a type, by its full name, that JSON describes. Equal JSON gives equal bytes.
func (d *Decoder) Encode(name string, text []byte) ([]byte, error) {
	t, known := d.types[name]
	if !known {
		return nil, fmt.Errorf("there is no message %q", name)
	}
	m := dynamicpb.NewMessage(t.message)
	if err := (protojson.UnmarshalOptions{Resolver: t.all}).Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the data is not a %s in JSON: %w", name, err)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
