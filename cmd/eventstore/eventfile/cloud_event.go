package eventfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// cloudAttributes are the attributes of a CloudEvent that are not metadata. Extensions are those that docs/guides/routes.md names, and
// metadata, a JSON object of what no extension can be.
type cloudAttributes struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time,omitempty"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
	DataBase64      []byte          `json:"data_base64,omitempty"`

	AggregateType    string `json:"aggregatetype,omitempty"`
	AggregateVersion string `json:"aggregateversion,omitempty"`
	Position         string `json:"position,omitempty"`
	Sequence         string `json:"sequence,omitempty"`
	OccurredAt       string `json:"occurredat,omitempty"`
	Tags             string `json:"tags,omitempty"`
	Metadata         string `json:"metadata,omitempty"`
	Erased           bool   `json:"erased,omitempty"`
	Erasure          string `json:"erasure,omitempty"`
}

// cloudKnown are the names of cloudAttributes.
var cloudKnown = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "subject": true, "time": true, "datacontenttype": true, "dataschema": true,
	"data": true, "data_base64": true, "aggregatetype": true, "aggregateversion": true, "position": true, "sequence": true, "occurredat": true, "tags": true, "metadata": true,
	"erased": true, "erasure": true,
}

// isExtension reports whether CloudEvents allows a name for an extension: letters and digits, of which there should not be more than 20.
func isExtension(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 20 && !cloudKnown[name]
}

// cloudBeginning begins each line of cloudEvent.
const cloudBeginning = `{"specversion":"1.0","id":"`

// cloudEvent returns an event in the JSON format of CloudEvents 1.0, on one line.
func cloudEvent(e *eventjson.Event) ([]byte, error) {
	c := cloudAttributes{
		SpecVersion: "1.0", ID: e.ID, Source: "/" + e.Channel, Type: e.Type, Subject: e.AggregateID, DataContentType: e.ContentType, Data: e.Data, DataBase64: e.DataBase64,
		AggregateType: e.AggregateType, Position: strconv.FormatUint(e.Position, 10), Sequence: strconv.FormatUint(e.Sequence, 10),
		Time: timeCell(e.RecordedAt), OccurredAt: timeCell(e.OccurredAt), AggregateVersion: numberCell(e.Version),
		Erased: e.Erased > 0, Erasure: numberCell(e.Erased),
	}
	if c.ID == "" { // which is required, and unique in the source
		c.ID = c.Sequence
	}
	if c.DataBase64 != nil {
		c.Data = nil // one of the two
	}
	for i, tag := range e.Tags {
		if i > 0 {
			c.Tags += ","
		}
		c.Tags += strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(tag)
	}
	extensions, other := map[string]string{}, map[string]string{}
	for key, value := range e.Metadata {
		if isExtension(key) {
			extensions[key] = value
		} else {
			other[key] = value
		}
	}
	var err error
	if c.Metadata, err = jsonCell(len(other) == 0, other); err != nil {
		return nil, err
	}
	line, err := encoded(c)
	if err != nil || len(extensions) == 0 {
		return line, err
	}
	more, err := encoded(extensions)
	return append(append(line[:len(line)-1], ','), more[1:]...), err
}

func encoded(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// parseCloudEvent parses a CloudEvent in the JSON format. Extensions that this package does not write are metadata.
func parseCloudEvent(text []byte) (*eventjson.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	numbers := map[string]string{}
	for _, name := range []string{"aggregateversion", "position", "sequence", "erasure"} { // integers, or texts of them
		if raw, there := members[name]; there {
			numbers[name] = strings.Trim(string(raw), `"`)
			delete(members, name)
		}
	}
	known, err := encoded(members) // json.Marshal would escape <, > and & of data
	if err != nil {
		return nil, err
	}
	var c cloudAttributes
	if err := json.Unmarshal(known, &c); err != nil {
		return nil, err
	}
	switch {
	case c.SpecVersion != "1.0":
		return nil, fmt.Errorf("specversion %q is not 1.0", c.SpecVersion)
	case c.ID == "" || c.Source == "" || c.Type == "":
		return nil, fmt.Errorf("id, source or type is missing")
	case c.Data != nil && c.DataBase64 != nil:
		return nil, fmt.Errorf("it has both data and data_base64")
	}
	e := &eventjson.Event{
		ID: c.ID, Type: c.Type, AggregateType: c.AggregateType, AggregateID: c.Subject, ContentType: c.DataContentType, DataBase64: c.DataBase64,
	}
	if e.AggregateID == "" {
		e.AggregateID = c.Source // as on channels of this format
	}
	if c.Data != nil {
		e.SetPayload(c.Data)
	}
	for _, number := range []struct {
		name string
		to   *uint64
	}{{"aggregateversion", &e.Version}, {"position", &e.Position}, {"sequence", &e.Sequence}, {"erasure", &e.Erased}} {
		if text := numbers[number.name]; text != "" {
			if *number.to, err = strconv.ParseUint(text, 10, 64); err != nil {
				return nil, fmt.Errorf("%s %q is not a number", number.name, text)
			}
		}
	}
	if err := cloudTimes(e, &c); err != nil {
		return nil, err
	}
	e.Tags = splitTags(c.Tags)
	return e, cloudMetadata(e, &c, members)
}

// cloudTimes sets the times. That of an event of ours is when it was recorded; that of another is when it happened.
func cloudTimes(e *eventjson.Event, c *cloudAttributes) error {
	var at, occurred *time.Time
	var err error
	if c.Time != "" {
		if at, err = timeOf(c.Time); err != nil {
			return err
		}
	}
	if c.OccurredAt != "" {
		if occurred, err = timeOf(c.OccurredAt); err != nil {
			return err
		}
	}
	if e.Position > 0 && e.Sequence > 0 {
		e.RecordedAt, e.OccurredAt = at, occurred
		e.Channel = strings.TrimPrefix(c.Source, "/")
		return nil
	}
	if e.OccurredAt = occurred; occurred == nil {
		e.OccurredAt = at
	}
	return nil
}

func cloudMetadata(e *eventjson.Event, c *cloudAttributes, members map[string]json.RawMessage) error {
	if c.Metadata != "" {
		if err := json.Unmarshal([]byte(c.Metadata), &e.Metadata); err != nil {
			return fmt.Errorf("metadata is not a JSON object of texts: %w", err)
		}
	}
	for name, value := range members {
		if cloudKnown[name] && name != "dataschema" {
			continue
		}
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		e.Metadata[name] = text
	}
	return nil
}

// splitTags splits at commas; \ takes the next character as it is.
func splitTags(text string) (tags []string) {
	if text == "" {
		return nil
	}
	var tag strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			tag.WriteByte(text[i])
		case text[i] == ',':
			tags = append(tags, tag.String())
			tag.Reset()
		default:
			tag.WriteByte(text[i])
		}
	}
	return append(tags, tag.String())
}
