package proto

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// documents reads events from payloads that are JSON objects.
type documents struct {
	kind     string // for errors
	root     *node
	nodes    int
	sources  [columns]memberSource
	occurred memberSource
	instead  memberSource // of aggregate_id, where its own source has no value

	templates []tagTemplate
	tags      []memberSource // of the templates
}

// memberSource is where a column gets its value.
type memberSource struct {
	text  string // a constant
	names []string
	nodes []*node // the members on the path, and the document before them; nil without a path
}

var _ format = (*documents)(nil)

// newDocuments parses the sources of a configuration.
func newDocuments(cfg MappingConfig) (*documents, error) {
	for key, value := range map[string]string{"descriptor_set": cfg.DescriptorSet, "message": cfg.Message} {
		if value != "" {
			return nil, fmt.Errorf("%s is for format: protobuf: remove it, or remove format: %s", key, cfg.Format)
		}
	}
	d := &documents{kind: "JSON event", root: &node{}, nodes: 1}
	for c := range columns {
		text := strings.TrimSpace(cfg.source(c))
		if text == "" {
			if c == columnAggregateID || c == columnType {
				return nil, fmt.Errorf("%s is missing: name a member, such as $.order.id, or a text for all events, such as \"= Order\"", columnNames[c])
			}
			continue
		}
		src, err := d.parseSource(text)
		if err == nil {
			err = src.check(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", columnNames[c], text, err)
		}
		d.sources[c] = src
	}
	if text := strings.TrimSpace(cfg.OccurredAt); text != "" {
		src, err := d.parseSource(text)
		if err == nil && len(src.names) == 0 {
			err = errors.New("must be a member, such as $.time")
		}
		if err != nil {
			return nil, fmt.Errorf("occurred_at: %q: %w", text, err)
		}
		d.occurred = src
	}
	return d, d.addTags(cfg.Tags)
}

// newObjects is newDocuments for JSON, where only the configuration knows the members.
func newObjects(cfg MappingConfig) (*documents, error) {
	d, err := newDocuments(cfg)
	if err != nil {
		return nil, err
	}
	return d, d.checkOverlaps()
}

// checkOverlaps returns an error if no payload could have a value at each of two sources.
func (d *documents) checkOverlaps() error {
	for c := range columns {
		src := &d.sources[c]
		if c == columnData || c == columnMetadata || src.nodes == nil {
			continue
		}
		for other := range columns {
			below := &d.sources[other]
			same := src.contains(below) && below.contains(src)
			switch {
			case other == c:
			case same && c == columnVersion && other != columnData && other != columnMetadata:
				return fmt.Errorf("event_version: %s is %s, too: name a member of its own", shownPath(src.names), columnNames[other])
			case !same && src.contains(below):
				return fmt.Errorf("%s: %s is inside %s, the %s, which is a text or a number: name other members",
					columnNames[other], shownPath(below.names), shownPath(src.names), columnNames[c])
			}
		}
	}
	return d.checkTagOverlaps()
}

// parseSource parses a source and adds its nodes.
func (d *documents) parseSource(text string) (memberSource, error) {
	if text[0] == '=' {
		constant, err := parseConstant(text)
		return memberSource{text: constant}, err
	}
	names, err := parsePath(text)
	if err != nil {
		return memberSource{}, err
	}
	src := memberSource{names: names, nodes: []*node{d.root}}
	at := d.root
	for _, name := range names {
		next := at.child([]byte(name))
		if next == nil {
			next = &node{name: name, index: d.nodes}
			d.nodes++
			at.children = append(at.children, next)
		}
		at = next
		src.nodes = append(src.nodes, at)
	}
	return src, nil
}

// check returns an error if the source cannot fill the column.
func (src *memberSource) check(c column) error {
	switch {
	case len(src.names) > 0, c == columnData && src.nodes != nil:
		return nil
	case src.text == "":
		return errors.New("must be a member, such as $.id")
	case c == columnID || c == columnVersion || c == columnData || c == columnMetadata:
		return errors.New("must be a member, such as $.id, not a text for all events")
	}
	return nil
}

func (d *documents) extract(payload []byte, limit bounds) (Event, error) {
	s := documentScan{doc: payload, kind: d.kind, sources: d.tags}
	if err := s.scan(d.root, d.nodes); err != nil {
		return Event{}, err
	}
	return d.event(&s, limit)
}

// event returns the event in a scanned document.
func (d *documents) event(s *documentScan, limit bounds) (Event, error) {
	var (
		ev  Event
		err error
	)
	for _, it := range []struct {
		c        column
		to       *string
		required bool
	}{
		{columnAggregateID, &ev.AggregateID, true}, {columnType, &ev.Type, true},
		{columnID, &ev.ID, false}, {columnAggregateType, &ev.AggregateType, false},
	} {
		*it.to, err = d.identifier(s, &d.sources[it.c], columnNames[it.c])
		if *it.to == "" && err == nil && it.c == columnAggregateID {
			*it.to, err = d.identifier(s, &d.instead, columnNames[it.c])
		}
		if err != nil {
			return Event{}, err
		}
		if *it.to == "" && it.required {
			return Event{}, &InvalidError{Field: columnNames[it.c], Reason: "is missing: " + shownPath(d.sources[it.c].names) + " is absent, null or empty"}
		}
	}
	if ev.Version, err = d.version(s); err != nil {
		return Event{}, err
	}
	if ev.Occurred, err = d.occurredAt(s); err != nil {
		return Event{}, err
	}
	if ev.Metadata, err = d.metadata(s, limit.metadata); err != nil {
		return Event{}, err
	}
	if ev.Data, err = s.find(&d.sources[columnData], "event_data"); err != nil {
		return Event{}, err
	}
	if len(ev.Data) > 0 {
		ev.ContentType = contentJSON
	}
	if ev.Tags, err = tagsOf(d.templates, s.tags, limit.tags); err != nil {
		return Event{}, err
	}
	return ev, nil
}

const contentJSON = "application/json"

// find returns the value of a source, nil if it is absent or null.
func (s *documentScan) find(src *memberSource, field string) ([]byte, error) {
	for i, n := range src.nodes {
		at := s.found[n.index]
		switch {
		case at.end == 0, s.doc[at.start] == 'n':
			return nil, nil
		case i == len(src.nodes)-1:
			return s.doc[at.start:at.end:at.end], nil
		case s.doc[at.start] != '{':
			return nil, &InvalidError{Field: field, Reason: "is missing: " + shownPath(src.names[:i]) + " is " + kindOf(s.doc[at.start]) + ", not an object"}
		}
	}
	return nil, nil
}

func kindOf(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// identifier returns the text of an identifier column, empty if the payload has none: a string, or an integer as it is
// written.
func (d *documents) identifier(s *documentScan, src *memberSource, field string) (string, error) {
	if src.nodes == nil {
		return src.text, nil
	}
	value, err := s.find(src, field)
	if err != nil || value == nil {
		return "", err
	}
	switch {
	case value[0] == '"':
		value = unquote(value)
	case !isIntegerText(value):
		return "", &InvalidError{Field: field, Reason: "must be a text or an integer: " + shownPath(src.names) + " is " + shownValue(value)}
	case string(value) == "-0":
		return "0", nil
	}
	return identifier(field, value)
}

// shownValue is a value that is not an integer or text, as errors show it.
func shownValue(value []byte) string {
	if kind := kindOf(value[0]); kind != "a number" || len(value) > 40 {
		return kind
	}
	return string(value)
}

func isIntegerText(value []byte) bool {
	digits := bytes.TrimPrefix(value, []byte("-"))
	return len(digits) > 0 && scanDigits(digits, 0) == len(digits)
}

// version returns event_version, 0 if the server assigns it. The JSON form of protobuf has 64-bit integers in quotes.
func (d *documents) version(s *documentScan) (uint64, error) {
	value, err := s.find(&d.sources[columnVersion], columnNames[columnVersion])
	if err != nil || value == nil {
		return 0, err
	}
	number := value
	if value[0] == '"' {
		number = unquote(value)
	}
	if !isIntegerText(number) {
		return 0, &InvalidError{Field: columnNames[columnVersion], Reason: "must be an integer: " + shownPath(d.sources[columnVersion].names) + " is " + shownValue(value)}
	}
	version, err := strconv.ParseUint(string(bytes.TrimPrefix(number, []byte("-"))), 10, 64)
	if err != nil || version > math.MaxInt64 || version > 0 && number[0] == '-' {
		return 0, ErrVersionRange
	}
	return version, nil
}

func (d *documents) occurredAt(s *documentScan) (*timestamppb.Timestamp, error) {
	value, err := s.find(&d.occurred, "occurred_at")
	if err != nil || value == nil {
		return nil, err
	}
	if value[0] != '"' {
		return nil, errNotTimestamp
	}
	at, err := time.Parse(time.RFC3339Nano, string(unquote(value)))
	if err != nil {
		return nil, errNotTimestamp
	}
	occurred := timestamppb.New(at)
	if !occurred.IsValid() {
		return nil, ErrOccurredRange
	}
	return occurred, nil
}

var errNotTimestamp = &InvalidError{Field: "occurred_at", Reason: `is not an RFC 3339 timestamp, such as "2026-01-02T03:04:05Z"`}

// metadata returns the column metadata, nil if there is none.
func (d *documents) metadata(s *documentScan, limit int) ([]byte, error) {
	src := &d.sources[columnMetadata]
	value, err := s.find(src, columnNames[columnMetadata])
	if err != nil || value == nil {
		return nil, err
	}
	members := s.found[src.nodes[len(src.nodes)-1].index].members
	switch {
	case value[0] != '{':
		return nil, &InvalidError{Field: columnNames[columnMetadata], Reason: "must be an object: " + shownPath(src.names) + " is " + kindOf(value[0])}
	case members == 0:
		return nil, nil
	case members > limit:
		return nil, ErrMetadataEntries
	}
	return storableMetadata(value)
}

func storableMetadata(object []byte) ([]byte, error) {
	if !storable(object, metadataDepth) {
		return nil, errMetadataForm
	}
	return object, nil
}

// contains reports whether the source's value contains that of another one.
func (src *memberSource) contains(other *memberSource) bool {
	return src.nodes != nil && len(other.nodes) >= len(src.nodes) && slices.Equal(other.nodes[:len(src.nodes)], src.nodes)
}

func (d *documents) copiesVersion() bool {
	version := &d.sources[columnVersion]
	return version.nodes != nil && (d.sources[columnData].contains(version) || d.sources[columnMetadata].contains(version))
}
