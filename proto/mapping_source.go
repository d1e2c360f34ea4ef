package proto

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// source is where a column gets its value.
type source struct {
	kind  sourceKind
	text  string                         // for sourceText: the column's value
	path  []protoreflect.FieldDescriptor // to the field; for a oneof, to the message that contains it
	oneof protoreflect.OneofDescriptor
}

type sourceKind int

const (
	sourceNone      sourceKind = iota
	sourceText                 // a constant
	sourceMessage              // the whole payload
	sourceField                // a field
	sourceOneof                // the set member of a oneof
	sourceOneofType            // the message type of that member
)

// newMessages parses the sources of a configuration.
func newMessages(cfg MappingConfig) (*messages, error) {
	message, types, err := findMessage(cfg.DescriptorSet, cfg.Message)
	if err != nil {
		return nil, err
	}
	if cfg.OccurredAt != "" {
		return nil, errors.New("occurred_at is for format: json or cloudevents")
	}
	m := &messages{message: message, types: types}
	for c := range columns {
		text := strings.TrimSpace(cfg.source(c))
		if text == "" {
			if c == columnAggregateID || c == columnType {
				return nil, fmt.Errorf("%s is missing: name a field, such as order_id, or a text for all events, such as \"= Order\"", columnNames[c])
			}
			continue
		}
		src, err := parseSource(message, text, false)
		if err == nil {
			err = src.check(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", columnNames[c], text, err)
		}
		m.sources[c] = src
		m.addSource(c, src)
	}
	if err := m.addTags(cfg.Tags); err != nil {
		return nil, err
	}
	m.root.addClears()
	for md := range reachable(message) {
		m.hasAny = m.hasAny || md.FullName() == anyName
		m.hasRequired = m.hasRequired || md.RequiredNumbers().Len() > 0
	}
	return m, nil
}

// parseSource parses a source in messages of a type. Only with lists it may be in one.
func parseSource(message protoreflect.MessageDescriptor, text string, lists bool) (source, error) {
	if text[0] == '=' {
		constant, err := parseConstant(text)
		return source{kind: sourceText, text: constant}, err
	}
	if text == "$message" {
		return source{kind: sourceMessage, text: string(message.Name())}, nil
	}
	src := source{kind: sourceField}
	prefix, names, found := strings.Cut(text, ":")
	switch {
	case !found:
		names = text
	case prefix == "oneof":
		src.kind = sourceOneof
	case prefix == "oneof_type":
		src.kind = sourceOneofType
	default:
		return source{}, fmt.Errorf("prefix %q must be oneof or oneof_type", prefix)
	}
	path := strings.Split(strings.TrimSpace(names), ".")
	last := len(path) - 1
	for i, name := range path {
		if i == last && src.kind != sourceField {
			src.oneof = message.Oneofs().ByName(protoreflect.Name(name))
			if src.oneof == nil || src.oneof.IsSynthetic() {
				return source{}, fmt.Errorf("%s has no oneof %q", message.FullName(), name)
			}
			return src, nil
		}
		fd := message.Fields().ByName(protoreflect.Name(name))
		switch {
		case fd == nil:
			return source{}, fmt.Errorf("%s has no field %q", message.FullName(), name)
		case i < last && fd.Message() == nil:
			return source{}, fmt.Errorf("%s is not a message: it has no field %q", fd.FullName(), path[i+1])
		case i < last && fd.Cardinality() == protoreflect.Repeated && (!lists || fd.IsMap()):
			return source{}, fmt.Errorf("%s is repeated: a source must have a single value", fd.FullName())
		}
		src.path = append(src.path, fd)
		message = fd.Message()
	}
	return src, nil
}

// parseConstant returns the text after the sign =.
func parseConstant(text string) (string, error) {
	constant := strings.TrimSpace(strings.TrimPrefix(text, "="))
	switch {
	case constant == "":
		return "", errors.New("the text after = is missing")
	case !utf8.ValidString(constant) || strings.ContainsRune(constant, 0):
		return "", errors.New("the text must be valid UTF-8 without NUL bytes")
	case len(constant) > MaxIdentifier:
		return "", fmt.Errorf("the text is longer than %d bytes", MaxIdentifier)
	}
	return constant, nil
}

// check returns an error if the source cannot fill the column.
func (src source) check(c column) error {
	var fd protoreflect.FieldDescriptor
	if src.kind == sourceField {
		fd = src.path[len(src.path)-1]
		if fd.IsList() || fd.IsMap() && c != columnMetadata {
			return fmt.Errorf("%s is repeated: a source must have a single value", fd.FullName())
		}
	}
	if err := src.checkTypeName(); err != nil {
		return err
	}
	switch c {
	case columnType, columnAggregateType:
		if fd != nil {
			return checkIdentifier(fd)
		}
	case columnAggregateID:
		switch {
		case fd != nil:
			return checkIdentifier(fd)
		case src.kind != sourceText:
			return errors.New("must be a field or a text")
		}
	case columnID:
		if fd == nil {
			return errors.New("must be a field")
		}
		return checkIdentifier(fd)
	case columnVersion:
		switch {
		case fd == nil:
			return errors.New("must be a field")
		case !isInteger(fd.Kind()):
			return fmt.Errorf("%s is of type %s: it must be an integer", fd.FullName(), typeName(fd))
		}
	case columnData:
		switch src.kind {
		case sourceMessage:
		case sourceField:
			return checkData(fd)
		case sourceOneof:
			for i := range src.oneof.Fields().Len() {
				if err := checkData(src.oneof.Fields().Get(i)); err != nil {
					return err
				}
			}
		default:
			return errors.New("must be $message, a field or a oneof")
		}
	case columnMetadata:
		switch {
		case fd == nil:
			return errors.New("must be a field")
		case fd.IsMap() && fd.MapValue().Message() != nil:
			return fmt.Errorf("%s is a map of messages: its values must be scalars", fd.FullName())
		case !fd.IsMap() && (fd.Message() == nil || !isObject(fd.Message())):
			return fmt.Errorf("%s is of type %s: it must be a message or a map of scalars", fd.FullName(), typeName(fd))
		}
	}
	return nil
}

// checkTypeName returns an error if the source is the name of a type that a member of the oneof does not have.
func (src source) checkTypeName() error {
	if src.kind == sourceOneofType {
		for i := range src.oneof.Fields().Len() {
			if member := src.oneof.Fields().Get(i); member.Message() == nil {
				return fmt.Errorf("%s is not a message: it has no type name", member.FullName())
			}
		}
	}
	return nil
}

func checkIdentifier(fd protoreflect.FieldDescriptor) error {
	switch {
	case fd.Message() != nil:
		return fmt.Errorf("%s is of type %s: name one of its fields", fd.FullName(), typeName(fd))
	case fd.Kind() == protoreflect.StringKind, fd.Kind() == protoreflect.BytesKind, fd.Kind() == protoreflect.EnumKind, isInteger(fd.Kind()):
		return nil
	}
	return fmt.Errorf("%s is of type %s: it must be a string, bytes, an integer or an enum", fd.FullName(), typeName(fd))
}

func checkData(fd protoreflect.FieldDescriptor) error {
	if fd.Message() == nil && fd.Kind() != protoreflect.BytesKind && fd.Kind() != protoreflect.StringKind {
		return fmt.Errorf("%s is of type %s: it must be a message, bytes or a string", fd.FullName(), typeName(fd))
	}
	return nil
}

// isObject reports whether the JSON form of a message is an object.
func isObject(md protoreflect.MessageDescriptor) bool {
	if md.ParentFile().Package() != "google.protobuf" {
		return true
	}
	switch md.Name() {
	case "Timestamp", "Duration", "FieldMask", "Value", "ListValue",
		"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue":
		return false
	}
	return true
}

func typeName(fd protoreflect.FieldDescriptor) string {
	if fd.Message() != nil {
		return string(fd.Message().FullName())
	}
	return fd.Kind().String()
}
