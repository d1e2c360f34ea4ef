package proto

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// addTags parses the templates of tags.
func (m *messages) addTags(tags []string) (err error) {
	m.templates, err = parseTags(tags, func(text string) (int, error) {
		src, err := parseSource(m.message, text, true)
		if err == nil {
			err = src.checkTag()
		}
		if err == nil && len(src.path) > 0 && src.oneof == nil && slices.Equal(src.path, m.sources[columnVersion].path) {
			err = errors.New("is event_version, too, which the server may assign: name another field")
		}
		m.tags = append(m.tags, src)
		return len(m.tags) - 1, err
	})
	if err != nil {
		return err
	}
	for i, t := range m.templates {
		list := -1
		for _, source := range t.sources {
			if !slices.ContainsFunc(m.tags[source].path, protoreflect.FieldDescriptor.IsList) {
				continue
			}
			if list >= 0 && list != source {
				return fmt.Errorf("tags: %q: cannot combine two lists: map them to different tags", tags[i])
			}
			list = source
		}
	}
	return nil
}

// checkTag returns an error if the source cannot be a part of a tag.
func (src source) checkTag() error {
	if src.kind != sourceField {
		return src.checkTypeName()
	}
	fd := src.path[len(src.path)-1]
	if fd.IsMap() {
		return fmt.Errorf("%s is a map: name a field or a list", fd.FullName())
	}
	return checkIdentifier(fd)
}

// tagValues returns the texts at the source in a message.
func (src source) tagValues(m protoreflect.Message) tagValues {
	var v tagValues
	if src.kind == sourceMessage {
		v.add(src.text)
	} else {
		src.walk(m, src.path, &v)
	}
	return v
}

// walk adds the texts below a message, which is where path begins.
func (src source) walk(m protoreflect.Message, path []protoreflect.FieldDescriptor, v *tagValues) {
	if len(path) == 0 { // of a oneof
		switch member := m.WhichOneof(src.oneof); {
		case member == nil:
		case src.kind == sourceOneofType:
			v.add(string(member.Message().Name()))
		default:
			v.add(string(member.Name()))
		}
		return
	}
	fd, rest := path[0], path[1:]
	leaf := len(rest) == 0 && src.oneof == nil
	switch {
	case fd.IsList():
		v.list = true
		for i := range m.Get(fd).List().Len() {
			if element := m.Get(fd).List().Get(i); leaf {
				addScalar(v, fd, element, true)
			} else {
				src.walk(element.Message(), rest, v)
			}
		}
	case leaf:
		addScalar(v, fd, m.Get(fd), m.Has(fd))
	case m.Has(fd):
		src.walk(m.Get(fd).Message(), rest, v)
	}
}

// addScalar adds the text of a field's value or element, unless it counts as missing.
func addScalar(v *tagValues, fd protoreflect.FieldDescriptor, scalar protoreflect.Value, has bool) {
	s := slot{value: onWire(fd.Kind(), scalar)}
	if has {
		s.field = fd
	}
	if fd.IsList() && isInteger(fd.Kind()) || !isMissing(fd, &s) {
		v.add(scalarText(fd, s.value))
	}
}

// onWire returns a scalar as the wire has it.
func onWire(kind protoreflect.Kind, scalar protoreflect.Value) value {
	switch kind {
	case protoreflect.StringKind:
		return value{bytes: []byte(scalar.String())}
	case protoreflect.BytesKind:
		return value{bytes: scalar.Bytes()}
	case protoreflect.EnumKind:
		return value{bits: uint64(scalar.Enum())}
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return value{bits: protowire.EncodeZigZag(scalar.Int())}
	}
	if _, ok := signed(kind, 0); ok {
		return value{bits: uint64(scalar.Int())}
	}
	return value{bits: scalar.Uint()}
}
