// Package eventjson is the JSON of an event as the tool eventstore prints and reads it, and as the console lets browsers download it:
// docs/reference/tool.md lists its fields.
package eventjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Event is a stored event, or one to be appended. An absent field is empty.
type Event struct {
	Position      uint64            `json:"position,omitempty"` // in the order of all events
	Channel       string            `json:"channel,omitempty"`
	Sequence      uint64            `json:"sequence,omitempty"` // in the channel
	ID            string            `json:"id,omitempty"`
	Type          string            `json:"type,omitempty"`
	AggregateType string            `json:"aggregate_type,omitempty"`
	AggregateID   string            `json:"aggregate_id,omitempty"`
	Version       uint64            `json:"version,omitempty"`     // in the aggregate
	RecordedAt    *time.Time        `json:"recorded_at,omitempty"` // when the server stored it
	OccurredAt    *time.Time        `json:"occurred_at,omitempty"` // by the publisher's clock
	Metadata      map[string]string `json:"metadata,omitempty"`
	Tags          []string          `json:"tags,omitempty"`
	ContentType   string            `json:"content_type,omitempty"`
	Stream        string            `json:"stream,omitempty"`
	// Data is event_data if that is JSON. DataBase64 is event_data byte for byte; it is absent if Data is that, too.
	Data       json.RawMessage `json:"data,omitempty"`
	DataBase64 []byte          `json:"data_base64,omitempty"`
	// PayloadBase64 is the message of a channel whose messages are not eventstore.v1.Event.
	PayloadBase64 []byte `json:"payload_base64,omitempty"`
	// Erased is the number of the erasure by which an administrator has erased the event. An append refuses it.
	Erased uint64 `json:"erased,omitempty"`
}

// Of converts a stored event.
func Of(r *eventstorev1.RecordedEvent) *Event {
	e := r.GetEvent()
	event := &Event{
		Position: r.GetPosition(), Channel: r.GetChannel(), Sequence: r.GetSequence(), RecordedAt: timeOf(r.GetRecordedAt()),
		ID: e.GetEventId(), Type: e.GetEventType(), AggregateType: e.GetAggregateType(), AggregateID: e.GetAggregateId(),
		Version: e.GetEventVersion(), OccurredAt: timeOf(e.GetOccurredAt()), Metadata: e.GetMetadata(), Tags: e.GetTags(),
		ContentType: e.GetContentType(), Stream: e.GetStream(), PayloadBase64: r.GetPayload(), Erased: e.GetErased().GetErasure(),
	}
	event.SetPayload(e.GetEventData())
	return event
}

// SetPayload sets event_data. The encoder of JSON drops white space, so that Data may not be what was stored.
func (e *Event) SetPayload(data []byte) {
	e.Data, e.DataBase64 = nil, nil
	if utf8.Valid(data) && json.Valid(data) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, data); err == nil {
			e.Data = compact.Bytes()
		}
	}
	if !bytes.Equal(e.Data, data) {
		e.DataBase64 = data
	}
}

// Payload returns event_data.
func (e *Event) Payload() []byte {
	if e.DataBase64 != nil {
		return e.DataBase64
	}
	return e.Data
}

// Message returns the event for an append, without its place in the log.
func (e *Event) Message() *eventstorev1.Event {
	m := &eventstorev1.Event{
		EventId: e.ID, EventType: e.Type, AggregateType: e.AggregateType, AggregateId: e.AggregateID, EventVersion: e.Version,
		Metadata: e.Metadata, Tags: e.Tags, ContentType: e.ContentType, Stream: e.Stream, EventData: e.Payload(),
	}
	if e.Erased > 0 {
		m.Erased = &eventstorev1.Erased{Erasure: e.Erased}
	}
	if e.OccurredAt != nil {
		m.OccurredAt = timestamppb.New(*e.OccurredAt)
	}
	return m
}

// Marshal returns the event on one line, without a line break at its end.
func (e *Event) Marshal() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return nil, fmt.Errorf("event %d of channel %q: %w", e.Sequence, e.Channel, err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Unmarshal parses what Marshal returns, or an event that somebody wrote. An unknown field is an error.
func Unmarshal(line []byte) (*Event, error) {
	var e Event
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, fmt.Errorf("there is something behind the event: %.40q", line[decoder.InputOffset():])
	}
	return &e, nil
}

func timeOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}
