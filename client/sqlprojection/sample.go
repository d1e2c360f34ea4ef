package sqlprojection

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Sample is an event to check a file with, in YAML or as a line of JSON. Only the type is required.
type Sample struct {
	ID            string            `yaml:"id" json:"id"`
	Type          string            `yaml:"type" json:"type"`
	AggregateType string            `yaml:"aggregate_type" json:"aggregate_type"`
	AggregateID   string            `yaml:"aggregate_id" json:"aggregate_id"`
	Version       uint64            `yaml:"version" json:"version"`
	Channel       string            `yaml:"channel" json:"channel"`
	Sequence      uint64            `yaml:"sequence" json:"sequence"`
	Position      uint64            `yaml:"position" json:"position"`
	RecordedAt    time.Time         `yaml:"recorded_at" json:"recorded_at"`
	OccurredAt    time.Time         `yaml:"occurred_at" json:"occurred_at"`
	ContentType   string            `yaml:"content_type" json:"content_type"`
	Metadata      map[string]string `yaml:"metadata" json:"metadata"`
	Tags          []string          `yaml:"tags" json:"tags"`
	Data          Data              `yaml:"data" json:"data"` // event_data
}

// Data is JSON. In YAML, it is written as YAML.
type Data []byte

// UnmarshalJSON implements json.Unmarshaler.
func (d *Data) UnmarshalJSON(b []byte) error {
	*d = bytes.Clone(b)
	return nil
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Data) UnmarshalYAML(node *yaml.Node) error {
	v, err := plainJSON(node)
	if err == nil {
		*d, err = json.Marshal(v)
	}
	return err
}

// plainJSON converts YAML. Numbers keep their digits.
func plainJSON(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.AliasNode:
		return plainJSON(node.Alias)
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			v, err := plainJSON(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			object[node.Content[i].Value] = v
		}
		return object, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, it := range node.Content {
			v, err := plainJSON(it)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	switch node.ShortTag() {
	case "!!int", "!!float":
		if json.Valid([]byte(node.Value)) {
			return json.RawMessage(node.Value), nil
		}
	case "!!timestamp":
		return node.Value, nil
	}
	var v any
	err := node.Decode(&v)
	return v, err
}

// ReadSamples reads events, one JSON object a line, with the keys of Sample.
func ReadSamples(r io.Reader) ([]Sample, error) {
	var samples []Sample
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			decoder := json.NewDecoder(bytes.NewReader(line))
			decoder.DisallowUnknownFields()
			var s Sample
			if err := decoder.Decode(&s); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			samples = append(samples, s)
		}
		if errors.Is(err, io.EOF) {
			return samples, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// event returns the sample as an event, with a place if it names none.
func (s *Sample) event(index int) *eventstore.Event {
	e := &eventstore.Event{
		ID: s.ID, Type: s.Type, AggregateType: s.AggregateType, AggregateID: s.AggregateID, Version: s.Version, Payload: s.Data,
		ContentType: s.ContentType, Metadata: s.Metadata, Tags: s.Tags, OccurredAt: s.OccurredAt,
		Channel: s.Channel, Sequence: s.Sequence, Position: s.Position, RecordedAt: s.RecordedAt,
	}
	if e.Payload == nil {
		e.Payload = []byte("{}")
	}
	if e.AggregateID == "" {
		e.AggregateID = "sample"
	}
	if e.Channel == "" {
		e.Channel = "eventstore.samples"
	}
	if e.Sequence == 0 {
		e.Sequence = uint64(index + 1)
	}
	if e.Position == 0 {
		e.Position = uint64(index + 1)
	}
	if e.RecordedAt.IsZero() {
		e.RecordedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	return e
}
