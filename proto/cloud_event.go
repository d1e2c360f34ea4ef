package proto

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/dynamicpb"
)

// cloudEvents reads CloudEvents 1.0 from payloads in the structured mode of the JSON format, or in the protobuf format
// (io.cloudevents.v1.CloudEvent). One in protobuf is read through its JSON form, so that both have the same sources.
type cloudEvents struct {
	*documents
	specVersion, contentType, base64 memberSource
	required                         []memberSource

	ownData, ownMetadata bool            // event_data is data or data_base64, metadata is the extensions
	messages             *messages       // the types of proto_data; nil without a descriptor set
	reserved             map[string]bool // attributes that are not extensions
}

var _ format = (*cloudEvents)(nil)

// newCloudEvents fills in the sources that are not configured.
func newCloudEvents(cfg MappingConfig) (*cloudEvents, error) {
	c := &cloudEvents{ownData: cfg.EventData == "", ownMetadata: cfg.Metadata == ""}
	if cfg.DescriptorSet != "" {
		files, err := readDescriptors(cfg.DescriptorSet)
		if err != nil {
			return nil, fmt.Errorf("descriptor_set: %w", err)
		}
		c.messages = &messages{types: dynamicpb.NewTypes(files), hasAny: true}
		cfg.DescriptorSet = ""
	}
	ownAggregate := cfg.AggregateID == ""
	cfg.AggregateID = cmp.Or(cfg.AggregateID, "$.subject")
	cfg.AggregateType = cmp.Or(cfg.AggregateType, "$.source")
	cfg.EventType = cmp.Or(cfg.EventType, "$.type")
	cfg.EventID = cmp.Or(cfg.EventID, "$.id")
	cfg.OccurredAt = cmp.Or(cfg.OccurredAt, "$.time")
	cfg.EventData = cmp.Or(cfg.EventData, "$.data")
	var err error
	if c.documents, err = newDocuments(cfg); err != nil {
		return nil, err
	}
	c.kind = "CloudEvent"
	c.reserved = make(map[string]bool)
	attribute := func(name string) memberSource {
		src, _ := c.parseSource("$." + name) // a valid path
		src.nodes[1].attribute = true
		c.reserved[name] = true
		return src
	}
	for _, name := range []string{"subject", "time", "dataschema", "data"} {
		attribute(name)
	}
	c.specVersion, c.contentType, c.base64 = attribute("specversion"), attribute("datacontenttype"), attribute("data_base64")
	c.required = []memberSource{attribute("id"), attribute("source"), attribute("type")}
	if ownAggregate {
		c.instead = c.required[1]
	}
	if version := &c.sources[columnVersion]; len(version.names) == 1 {
		if c.reserved[version.names[0]] {
			return nil, fmt.Errorf("event_version: %q is an attribute of every CloudEvent: name an extension, or a member of $.data", cfg.EventVersion)
		}
		version.nodes[1].attribute = true // it has a column of its own
	}
	return c, c.checkOverlaps()
}

func (c *cloudEvents) extract(payload []byte, limit bounds) (Event, error) {
	doc, err := c.document(payload, limit.metadata)
	if err != nil {
		return Event{}, err
	}
	var extensions []member
	s := documentScan{doc: doc, kind: c.kind, sources: c.tags}
	if c.ownMetadata {
		s.extensions = &extensions
	}
	if !isDocument(payload) {
		s.kind += ", in its JSON form"
	}
	if err := s.scan(c.root, c.nodes); err != nil {
		return Event{}, err
	}
	if err := c.check(&s); err != nil {
		return Event{}, err
	}
	ev, err := c.event(&s, limit)
	if err != nil {
		return Event{}, err
	}
	if ev.ContentType, err = c.identifier(&s, &c.contentType, "datacontenttype"); err != nil {
		return Event{}, err
	}
	if c.ownMetadata {
		if ev.Metadata, err = c.extensions(extensions, limit.metadata); err != nil {
			return Event{}, err
		}
	}
	if c.ownData {
		return ev, c.data(&s, &ev)
	}
	return ev, nil
}

// check checks the attributes that every CloudEvent has.
func (c *cloudEvents) check(s *documentScan) error {
	version, err := c.identifier(s, &c.specVersion, "specversion")
	switch {
	case err != nil:
		return err
	case version == "":
		return c.invalid("specversion is missing: publish a single event, in the structured mode, with its attributes")
	case version != "1.0":
		return c.invalid(fmt.Sprintf("specversion is %q, not 1.0", version))
	}
	for i := range c.required {
		src := &c.required[i]
		value, err := s.find(src, src.names[0])
		switch {
		case err != nil:
			return err
		case value == nil || string(value) == `""`:
			return c.invalid(src.names[0] + " is missing")
		case value[0] != '"':
			return c.invalid(src.names[0] + " is " + kindOf(value[0]) + ", not a text")
		}
	}
	return nil
}

func (c *cloudEvents) invalid(reason string) error {
	return &InvalidError{Reason: "not a valid CloudEvent: " + reason}
}

// extensions returns the metadata: an object of the extensions, sorted by name.
func (c *cloudEvents) extensions(all []member, limit int) ([]byte, error) {
	all = slices.DeleteFunc(all, func(m member) bool { return string(m.value) == "null" })
	switch {
	case len(all) == 0:
		return nil, nil
	case len(all) > limit:
		return nil, ErrMetadataEntries
	}
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	var out []byte
	for i, m := range all {
		out = append(out, "{,"[min(i, 1)])
		out = append(append(appendString(out, m.name), ':'), m.value...)
	}
	return storableMetadata(append(out, '}'))
}

// data sets the event data: the value of data, a text without its quotes unless its type is JSON, or data_base64 decoded.
func (c *cloudEvents) data(s *documentScan, ev *Event) error {
	encoded, err := s.find(&c.base64, "data_base64")
	switch {
	case err != nil || encoded == nil:
		if len(ev.Data) > 0 && ev.ContentType == "" {
			ev.ContentType = contentJSON
		}
		if len(ev.Data) > 0 && ev.Data[0] == '"' && !isJSONType(ev.ContentType) {
			ev.Data = unquote(ev.Data)
		}
		return err
	case ev.Data != nil:
		return c.invalid("it has both data and data_base64")
	case encoded[0] != '"':
		return c.invalid("data_base64 is " + kindOf(encoded[0]) + ", not a text")
	}
	if ev.Data, err = base64.StdEncoding.DecodeString(string(unquote(encoded))); err != nil {
		return c.invalid("data_base64 is not base64")
	}
	return nil
}

// isJSONType reports whether a media type is that of JSON.
func isJSONType(media string) bool {
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	media = strings.TrimSpace(media)
	return media == contentJSON || media == "text/json" || strings.HasSuffix(media, "+json")
}

func (c *cloudEvents) copiesVersion() bool {
	return c.documents.copiesVersion() || c.ownMetadata && len(c.sources[columnVersion].names) > 1
}

func (c *cloudEvents) sameEvent(a, b []byte) bool {
	x, errX := c.document(a, len(a))
	y, errY := c.document(b, len(b))
	return errX == nil && errY == nil && c.documents.sameEvent(x, y)
}
