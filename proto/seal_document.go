package proto

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// An encrypted value in JSON is an object of exactly this form, so that it is found again without parsing each object.
const (
	markStart = `{"$sealed":"`
	markKey   = `","key":"`
	markEnd   = `"}`
)

// sealedDocuments finds values in JSON: in payloads, or in the event_data of an eventstore.v1.Event.
type sealedDocuments struct {
	root     *sealNode
	subjects []string // the paths, by entry
	envelope bool
	cloud    bool
}

// sealNode is a value on the way to a field or a subject.
type sealNode struct {
	name     string
	children []*sealNode
	field    int   // the entry, from 1; 0 if the value is not encrypted
	subject  []int // entries whose subject it is
	refused  bool  // it may hide fields
}

func newSealedDocuments(of MappingConfig, configs []SealConfig, envelope bool) (*sealedDocuments, error) {
	d := &sealedDocuments{root: &sealNode{}, envelope: envelope, cloud: of.Format == FormatCloudEvents}
	taken, err := d.columnPaths(of)
	if err != nil {
		return nil, err
	}
	if d.cloud {
		d.root.add([]string{"data_base64"}).refused = true
	}
	for i, cfg := range configs {
		subject, err := sealPath(cfg.Subject)
		if err != nil {
			return nil, fmt.Errorf("subject %q: %w", cfg.Subject, err)
		}
		d.subjects = append(d.subjects, shownPath(subject))
		at := d.root.add(subject)
		at.subject = append(at.subject, i)
		for _, field := range cfg.Fields {
			path, err := sealPath(field)
			if err != nil {
				return nil, fmt.Errorf("field %q: %w", field, err)
			}
			for column, other := range taken {
				if overlaps(path, other) {
					return nil, errColumn(field, column)
				}
			}
			at := d.root.add(path)
			if at.field != 0 {
				return nil, fmt.Errorf("field %q is encrypted twice: name it once", field)
			}
			at.field = i + 1
		}
	}
	return d, d.root.check(nil, false)
}

// columnPaths returns the paths of columns that show single values, by their names.
func (d *sealedDocuments) columnPaths(of MappingConfig) (map[string][]string, error) {
	taken := map[string][]string{}
	add := func(column, text string) error {
		if text = strings.TrimSpace(text); !strings.HasPrefix(text, "$") {
			return nil // nothing, or a constant
		}
		names, err := parsePath(text)
		if err == nil {
			taken[column] = names
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
	if err := add("occurred_at", of.OccurredAt); err != nil {
		return nil, err
	}
	if d.cloud {
		for _, name := range []string{"id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema"} {
			taken["attribute "+name] = []string{name}
		}
	}
	_, err := parseTags(of.Tags, func(text string) (int, error) {
		return 0, add("tag "+text, text)
	})
	return taken, err
}

func overlaps(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

func sealPath(text string) ([]string, error) {
	names, err := parsePath(strings.TrimSpace(text))
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("must be a member, such as $.customer.email")
	}
	return names, err
}

func (n *sealNode) add(names []string) *sealNode {
	for _, name := range names {
		next := n.child([]byte(name))
		if next == nil {
			next = &sealNode{name: name}
			n.children = append(n.children, next)
		}
		n = next
	}
	return n
}

func (n *sealNode) child(name []byte) *sealNode {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}

// check refuses a field inside another one, and a subject that would be encrypted.
func (n *sealNode) check(path []string, inside bool) error {
	if n.name != "" {
		path = append(path, n.name)
	}
	switch {
	case (inside || n.field > 0) && len(n.subject) > 0:
		return fmt.Errorf("subject %q would be encrypted, too: it must stay readable", shownPath(path))
	case inside && n.field > 0:
		return fmt.Errorf("field %q is inside another one: name the outer one only", shownPath(path))
	}
	for _, c := range n.children {
		if err := c.check(path, inside || n.field > 0); err != nil {
			return err
		}
	}
	return nil
}

// find implements sealFormat.
func (d *sealedDocuments) find(payload []byte) (*Found, error) {
	doc, err := d.document(payload)
	if err != nil || len(doc) == 0 {
		return &Found{}, err
	}
	w := sealWalk{doc: doc, subjects: make([]string, len(d.subjects))}
	if i := w.value(skipSpace(doc, 0), d.root, maxDepth); w.err == nil && (i < 0 || skipSpace(doc, i) != len(doc)) {
		w.err = &InvalidError{Field: d.name(), Reason: "is not JSON that every database accepts, so its fields cannot be encrypted"}
	}
	if w.err == nil && bytes.Contains(doc, []byte(markStart)) {
		w.err = errSealedAlready(d.name()) // elsewhere; readers would look for its key
	}
	if w.err != nil {
		return nil, w.err
	}
	for i := range w.values {
		v := &w.values[i]
		entry := w.entries[i]
		if v.subject = w.subjects[entry]; v.subject == "" {
			return nil, errNoSubject(v.path, d.subjects[entry])
		}
	}
	return d.found(payload, &w), nil
}

// sealed implements sealFormat.
func (d *sealedDocuments) sealed(payload []byte) *Found {
	if !bytes.Contains(payload, []byte(markStart)) {
		return nil
	}
	doc, err := d.document(payload)
	if err != nil || len(doc) == 0 {
		return nil
	}
	w := sealWalk{doc: doc, marks: true}
	if w.value(skipSpace(doc, 0), nil, maxDepth); w.err != nil {
		return nil
	}
	return d.found(payload, &w)
}

// name is what holds the JSON, for errors.
func (d *sealedDocuments) name() string {
	if d.envelope {
		return "event_data"
	}
	return "payload"
}

// document returns the JSON in a payload.
func (d *sealedDocuments) document(payload []byte) ([]byte, error) {
	switch {
	case d.envelope:
		ev, err := Extract(payload)
		if first := skipSpace(ev.Data, 0); err == nil && first < len(ev.Data) && ev.Data[first] != '{' {
			err = &InvalidError{Field: "event_data", Reason: "is not a JSON object, so its fields cannot be encrypted"}
		}
		return ev.Data, err
	case d.cloud && !isDocument(payload):
		return nil, &InvalidError{Reason: "a CloudEvent in protobuf cannot be encrypted: publish it in JSON"}
	}
	return payload, nil
}

func (d *sealedDocuments) found(payload []byte, w *sealWalk) *Found {
	return &Found{values: w.values, mark: markDocument, blank: []byte("null"), replace: func(values [][]byte) []byte {
		doc := w.splice(values)
		if !d.envelope {
			return doc
		}
		return withData(payload, doc)
	}}
}

// markDocument is an encrypted value in JSON.
func markDocument(s Sealed) []byte {
	out := make([]byte, 0, len(markStart)+base64.StdEncoding.EncodedLen(len(s.Ciphertext))+len(markKey)+len(s.Key)+len(markEnd))
	out = append(out, markStart...)
	out = base64.StdEncoding.AppendEncode(out, s.Ciphertext)
	out = append(out, markKey...)
	out = append(out, s.Key...)
	return append(out, markEnd...)
}

// parseMark returns the encrypted value at the start of b, and its length; 0 if it is another value.
func parseMark(b []byte) (Sealed, int) {
	rest, ok := bytes.CutPrefix(b, []byte(markStart))
	if !ok {
		return Sealed{}, 0
	}
	text, rest, ok := bytes.Cut(rest, []byte(markKey))
	if !ok || bytes.IndexByte(text, '"') >= 0 {
		return Sealed{}, 0
	}
	key, rest, ok := bytes.Cut(rest, []byte(markEnd))
	if !ok || !isKeyName(key) {
		return Sealed{}, 0
	}
	ciphertext, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return Sealed{}, 0
	}
	return Sealed{string(key), ciphertext}, len(b) - len(rest)
}

// isKeyName reports whether a text can name a key.
func isKeyName(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return len(b) > 0 && len(b) <= MaxIdentifier
}

// sealWalk finds values in a JSON document.
type sealWalk struct {
	doc      []byte
	marks    bool // finds encrypted values instead of those to encrypt
	path     []string
	lists    int
	values   []foundValue
	entries  []int // of values
	spans    [][2]int
	subjects []string // by entry
	err      error
}

// value takes the index of the first byte of a value and returns the index after its last byte, or -1.
func (w *sealWalk) value(i int, n *sealNode, depth int) int {
	if i >= len(w.doc) {
		return -1
	}
	if n == nil && !w.marks {
		return scanValue(w.doc, i, depth)
	}
	if w.marks {
		if sealed, size := parseMark(w.doc[i:]); size > 0 {
			w.add(i, i+size, foundValue{sealed: sealed}, 0)
			return i + size
		}
	} else if n.field > 0 {
		return w.field(i, n, depth)
	} else if n.refused && w.doc[i] != 'n' {
		w.err = &InvalidError{Field: n.name, Reason: "cannot be encrypted: publish JSON in data"}
		return -1
	}
	if !w.marks && len(n.subject) > 0 {
		return w.subject(i, n, depth)
	}
	switch w.doc[i] {
	case '{':
		return w.object(i+1, n, depth-1)
	case '[':
		w.lists++
		defer func() { w.lists-- }()
		return w.list(i+1, n, depth-1)
	}
	return scanValue(w.doc, i, depth)
}

func (w *sealWalk) add(start, end int, v foundValue, entry int) {
	v.path = shownPath(w.path)
	w.values = append(w.values, v)
	w.spans = append(w.spans, [2]int{start, end})
	w.entries = append(w.entries, entry)
}

// field notes a value to encrypt. null is nobody's.
func (w *sealWalk) field(i int, n *sealNode, depth int) int {
	end := scanValue(w.doc, i, depth)
	switch {
	case end < 0 || w.doc[i] == 'n':
	case bytes.Contains(w.doc[i:end], []byte(`"$sealed"`)):
		w.err = errSealedAlready(shownPath(w.path))
		return -1
	default:
		w.add(i, end, foundValue{clear: w.doc[i:end:end]}, n.field-1)
	}
	return end
}

// subject notes who the fields of some entries are about.
func (w *sealWalk) subject(i int, n *sealNode, depth int) int {
	end := scanValue(w.doc, i, depth)
	if end < 0 || w.doc[i] == 'n' {
		return end
	}
	text := w.doc[i:end]
	switch {
	case text[0] == '"':
		text = unquote(text)
	case !isIntegerText(text):
		w.err = &InvalidError{Field: shownPath(w.path), Reason: "must be a text or an integer, which says whose the encrypted fields are: it is " + shownValue(text)}
		return -1
	}
	for _, entry := range n.subject {
		if was := w.subjects[entry]; was != "" && was != string(text) {
			w.err = errTwoSubjects(shownPath(w.path))
			return -1
		}
		w.subjects[entry] = string(text)
	}
	return end
}

func (w *sealWalk) object(i int, n *sealNode, depth int) int {
	if depth < 0 {
		return -1
	}
	i = skipSpace(w.doc, i)
	if i < len(w.doc) && w.doc[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(w.doc) || w.doc[i] != '"' {
			return -1
		}
		end := scanString(w.doc, i+1)
		if end < 0 || end-i-2 > MaxJSONKey {
			return -1
		}
		name := unquote(w.doc[i:end])
		if i = skipSpace(w.doc, end); i >= len(w.doc) || w.doc[i] != ':' {
			return -1
		}
		below := n.child(name)
		if below != nil || w.marks {
			w.path = append(w.path, string(name))
			i = w.value(skipSpace(w.doc, i+1), below, depth)
			w.path = w.path[:len(w.path)-1]
		} else {
			i = scanValue(w.doc, skipSpace(w.doc, i+1), depth)
		}
		if i < 0 {
			return -1
		}
		if i = skipSpace(w.doc, i); i >= len(w.doc) {
			return -1
		}
		switch w.doc[i] {
		case ',':
			i = skipSpace(w.doc, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

func (w *sealWalk) list(i int, n *sealNode, depth int) int {
	if depth < 0 {
		return -1
	}
	i = skipSpace(w.doc, i)
	if i < len(w.doc) && w.doc[i] == ']' {
		return i + 1
	}
	for {
		if i = w.value(skipSpace(w.doc, i), n, depth); i < 0 {
			return -1
		}
		if i = skipSpace(w.doc, i); i >= len(w.doc) {
			return -1
		}
		switch w.doc[i] {
		case ',':
			i++
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

// splice returns the document with other values.
func (w *sealWalk) splice(values [][]byte) []byte {
	size := len(w.doc)
	for i, v := range values {
		if v != nil {
			size += len(v) - (w.spans[i][1] - w.spans[i][0])
		}
	}
	out := make([]byte, 0, size)
	last := 0
	for i, v := range values {
		if v != nil {
			out = append(append(out, w.doc[last:w.spans[i][0]]...), v...)
			last = w.spans[i][1]
		}
	}
	return append(out, w.doc[last:]...)
}

// withData returns an encoded eventstore.v1.Event with other event_data. What it replaces is gone: the field may occur several times,
// of which the last one counts.
func withData(payload, data []byte) []byte {
	out := make([]byte, 0, len(payload)+len(data))
	for b := payload; len(b) > 0; {
		num, wire, n := protowire.ConsumeField(b)
		if n < 0 {
			return payload // not reached: the payload was read
		}
		if num != fieldEventData || wire != protowire.BytesType {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	out = protowire.AppendTag(out, fieldEventData, protowire.BytesType)
	return protowire.AppendBytes(out, data)
}
