package proto

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// An encrypted string or bytes field is this prefix, the name of the key, a colon and base64.
const markField = "$sealed:"

// sealedMessages finds values in protobuf messages of one type.
type sealedMessages struct {
	message  protoreflect.MessageDescriptor
	root     *sealStep
	subjects []string // the sources, by entry
}

// sealStep lists the fields of one message type on the way to those of an entry.
type sealStep struct {
	fields map[protowire.Number]*sealField
}

type sealField struct {
	field   protoreflect.FieldDescriptor
	path    string
	entry   int   // from 1; 0 if the field is not encrypted
	subject []int // entries whose subject it is
	below   *sealStep
}

func newSealedMessages(of MappingConfig, configs []SealConfig) (*sealedMessages, error) {
	message, _, err := findMessage(of.DescriptorSet, of.Message)
	if err != nil {
		return nil, err
	}
	m := &sealedMessages{message: message, root: &sealStep{fields: map[protowire.Number]*sealField{}}}
	taken, err := m.columnPaths(of)
	if err != nil {
		return nil, err
	}
	for i, cfg := range configs {
		subject, err := m.path(cfg.Subject)
		if err == nil {
			err = checkSubjectField(subject)
		}
		if err != nil {
			return nil, fmt.Errorf("subject %q: %w", cfg.Subject, err)
		}
		m.subjects = append(m.subjects, cfg.Subject)
		at := m.root.add(subject)
		at.subject = append(at.subject, i)
		for _, field := range cfg.Fields {
			path, err := m.path(field)
			if err != nil {
				return nil, fmt.Errorf("field %q: %w", field, err)
			}
			last := path[len(path)-1]
			if last.IsMap() || last.Kind() != protoreflect.StringKind && last.Kind() != protoreflect.BytesKind {
				return nil, fmt.Errorf("field %q: must be a string or bytes: nothing else can hold an encrypted value", field)
			}
			for column, other := range taken {
				if slices.Equal(path, other) {
					return nil, errColumn(field, column)
				}
			}
			at := m.root.add(path)
			switch {
			case at.entry != 0:
				return nil, fmt.Errorf("field %q is encrypted twice: name it once", field)
			case len(at.subject) > 0:
				return nil, fmt.Errorf("subject %q would be encrypted, too: it must stay readable", field)
			}
			at.entry = i + 1
		}
		if at.entry != 0 {
			return nil, fmt.Errorf("subject %q would be encrypted, too: it must stay readable", cfg.Subject)
		}
	}
	return m, nil
}

func (m *sealedMessages) path(text string) ([]protoreflect.FieldDescriptor, error) {
	src, err := parseSource(m.message, strings.TrimSpace(text), true)
	switch {
	case err != nil:
		return nil, err
	case src.kind != sourceField:
		return nil, fmt.Errorf("must be a field, such as customer.email")
	}
	for _, fd := range src.path {
		if fd.Kind() == protoreflect.GroupKind {
			return nil, fmt.Errorf("%s is a group: use a message", fd.FullName())
		}
	}
	return src.path, nil
}

func checkSubjectField(path []protoreflect.FieldDescriptor) error {
	for _, fd := range path {
		if fd.IsList() {
			return fmt.Errorf("%s is repeated: the subject must be a single value", fd.FullName())
		}
	}
	switch path[len(path)-1].Kind() {
	case protoreflect.StringKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind,
		protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return nil
	}
	return fmt.Errorf("must be a string or an integer: it says whose the fields are")
}

// columnPaths returns the paths of columns that show single values, by their names.
func (m *sealedMessages) columnPaths(of MappingConfig) (map[string][]protoreflect.FieldDescriptor, error) {
	taken := map[string][]protoreflect.FieldDescriptor{}
	add := func(column, text string) error {
		if text = strings.TrimSpace(text); text == "" {
			return nil
		}
		src, err := parseSource(m.message, text, true)
		if err == nil && src.kind == sourceField {
			taken[column] = src.path
		}
		return err
	}
	for c := range columns {
		if c == columnData || c == columnMetadata {
			continue // they show what is encrypted as it is
		}
		if err := add(columnNames[c], of.source(c)); err != nil {
			return nil, err
		}
	}
	_, err := parseTags(of.Tags, func(text string) (int, error) { return 0, add("tag "+text, text) })
	return taken, err
}

func (st *sealStep) add(path []protoreflect.FieldDescriptor) *sealField {
	var names []string
	for i, fd := range path {
		names = append(names, string(fd.Name()))
		f := st.fields[fd.Number()]
		if f == nil {
			f = &sealField{field: fd, path: strings.Join(names, ".")}
			st.fields[fd.Number()] = f
		}
		if i == len(path)-1 {
			return f
		}
		if f.below == nil {
			f.below = &sealStep{fields: map[protowire.Number]*sealField{}}
		}
		st = f.below
	}
	return nil // not reached: a path has fields
}

// find implements sealFormat.
func (m *sealedMessages) find(payload []byte) (*Found, error) {
	w := messageWalk{subjects: make([]string, len(m.subjects))}
	if !w.walk(payload, m.root, 1) {
		return nil, &InvalidError{Reason: "not a valid " + string(m.message.FullName()) + ", so its fields cannot be encrypted"}
	}
	for i := range w.values {
		v := &w.values[i]
		if bytes.HasPrefix(v.clear, []byte(markField)) {
			return nil, errSealedAlready(v.path)
		}
		entry := w.entries[i]
		if v.subject = w.subjects[entry]; v.subject == "" {
			return nil, errNoSubject(v.path, m.subjects[entry])
		}
	}
	return m.found(payload, w.values, nil), nil
}

// sealed implements sealFormat.
func (m *sealedMessages) sealed(payload []byte) *Found {
	if !bytes.Contains(payload, []byte(markField)) {
		return nil
	}
	w := messageWalk{subjects: make([]string, len(m.subjects))}
	if !w.walk(payload, m.root, 1) {
		return nil
	}
	var values []foundValue
	var at []int // among all values
	for i, v := range w.values {
		if sealed, ok := parseFieldMark(v.clear); ok {
			values, at = append(values, foundValue{path: v.path, sealed: sealed}), append(at, i)
		}
	}
	return m.found(payload, values, at)
}

// found returns values of a payload: all, or those at some places among them.
func (m *sealedMessages) found(payload []byte, values []foundValue, at []int) *Found {
	return &Found{values: values, mark: markMessage, blank: []byte{}, replace: func(replaced [][]byte) []byte {
		if len(at) > 0 {
			all := make([][]byte, at[len(at)-1]+1)
			for i, v := range replaced {
				all[at[i]] = v
			}
			replaced = all
		}
		r := rewrite{values: replaced}
		return r.message(payload, m.root)
	}}
}

func markMessage(s Sealed) []byte {
	out := append([]byte(markField), s.Key...)
	out = append(out, ':')
	return base64.StdEncoding.AppendEncode(out, s.Ciphertext)
}

func parseFieldMark(b []byte) (Sealed, bool) {
	rest, ok := bytes.CutPrefix(b, []byte(markField))
	if !ok {
		return Sealed{}, false
	}
	key, text, ok := bytes.Cut(rest, []byte(":"))
	if !ok || !isKeyName(key) {
		return Sealed{}, false
	}
	ciphertext, err := base64.StdEncoding.AppendDecode(nil, text)
	return Sealed{string(key), ciphertext}, err == nil
}

// messageWalk finds the values at steps in the order of the wire.
type messageWalk struct {
	values   []foundValue
	entries  []int // of values
	subjects []string
}

func (w *messageWalk) walk(b []byte, st *sealStep, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, wire, b)
		if size < 0 {
			return false
		}
		f := st.fields[num]
		if f != nil && wire == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			switch {
			case f.below != nil:
				if !w.walk(v, f.below, depth+1) {
					return false
				}
			case f.entry > 0 && len(v) > 0:
				if f.field.Kind() == protoreflect.StringKind && !utf8.Valid(v) {
					return false
				}
				w.values = append(w.values, foundValue{path: f.path, clear: v[:len(v):len(v)]})
				w.entries = append(w.entries, f.entry-1)
			}
			w.subject(f, string(v))
		} else if f != nil {
			w.subject(f, integerText(f.field.Kind(), wire, b))
		}
		b = b[size:]
	}
	return true
}

// subject notes who the fields of some entries are about. The last occurrence of a field counts.
func (w *messageWalk) subject(f *sealField, text string) {
	for _, entry := range f.subject {
		w.subjects[entry] = text
	}
}

// integerText returns an integer as text, "" for anything else and for 0, which stands for no value.
func integerText(kind protoreflect.Kind, wire protowire.Type, b []byte) string {
	var v uint64
	switch wire {
	case protowire.VarintType:
		v, _ = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		u, _ := protowire.ConsumeFixed32(b)
		v = uint64(u)
	case protowire.Fixed64Type:
		v, _ = protowire.ConsumeFixed64(b)
	default:
		return ""
	}
	var signed int64
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		signed = int64(int32(v))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		signed = protowire.DecodeZigZag(v)
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		signed = int64(v)
	case protoreflect.Uint32Kind:
		v &= 1<<32 - 1
		fallthrough
	default:
		if v == 0 {
			return ""
		}
		return strconv.FormatUint(v, 10)
	}
	if signed == 0 {
		return ""
	}
	return strconv.FormatInt(signed, 10)
}

// rewrite builds a message with other values, in the order of the wire.
type rewrite struct {
	values [][]byte // those from the next one on; missing ones stay
}

func (r *rewrite) message(b []byte, st *sealStep) []byte {
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		size := n + protowire.ConsumeFieldValue(num, wire, b[n:])
		f := st.fields[num]
		if f == nil || wire != protowire.BytesType || f.below == nil && f.entry == 0 {
			out = append(out, b[:size]...)
			b = b[size:]
			continue
		}
		v, _ := protowire.ConsumeBytes(b[n:])
		switch {
		case f.below != nil:
			v = r.message(v, f.below)
		case len(v) > 0 && len(r.values) > 0:
			if r.values[0] != nil {
				v = r.values[0]
			}
			r.values = r.values[1:]
		}
		out = append(out, b[:n]...)
		out = protowire.AppendBytes(out, v)
		b = b[size:]
	}
	return out
}
