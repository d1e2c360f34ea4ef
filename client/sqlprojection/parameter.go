package sqlprojection

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// parameter is what stands in a statement for a value of the event.
type parameter struct {
	text     string // as written
	optional bool   // absent means NULL
	path     []step // of a value in event_data, $.a.b[0]
	metadata string // key, $metadata.key
	event    string // field, $event.name
}

// step is a member of an object or an element of an array.
type step struct {
	member string
	index  int // -1: a member
}

func (p *parameter) String() string { return p.text }

var (
	pathParameter  = regexp.MustCompile(`^\$((?:\.[A-Za-z_][A-Za-z0-9_]*|\."[^"]+"|\[[0-9]{1,6}\])+)(\?)?`)
	pathStep       = regexp.MustCompile(`\.[A-Za-z_][A-Za-z0-9_]*|\."[^"]+"|\[[0-9]+\]`)
	metaParameter  = regexp.MustCompile(`^\$metadata\.(?:([A-Za-z0-9_-]+)|"([^"]+)")(\?)?`)
	eventParameter = regexp.MustCompile(`^\$event\.([a-z_]+)(\?)?`)
	aggregateID    = regexp.MustCompile(`^\$aggregate_id\b`)
)

// fields are those of $event.
var fields = map[string]func(*eventstore.Event, eventstore.Dialect) (any, error){
	"id":             func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return text(e.ID), nil },
	"key":            func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return e.Key(), nil },
	"type":           func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return e.Type, nil },
	"version":        func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return int64(e.Version), nil },
	"aggregate_id":   func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return e.AggregateID, nil },
	"aggregate_type": func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return text(e.AggregateType), nil },
	"channel":        func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return e.Channel, nil },
	"sequence":       func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return int64(e.Sequence), nil },
	"position":       func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return int64(e.Position), nil },
	"recorded_at":    func(e *eventstore.Event, d eventstore.Dialect) (any, error) { return moment(e.RecordedAt, d), nil },
	"occurred_at":    func(e *eventstore.Event, d eventstore.Dialect) (any, error) { return moment(e.OccurredAt, d), nil },
	"content_type":   func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return text(e.ContentType), nil },
	"data":           func(e *eventstore.Event, _ eventstore.Dialect) (any, error) { return string(e.Payload), nil },
	"metadata": func(e *eventstore.Event, _ eventstore.Dialect) (any, error) {
		if e.Metadata == nil {
			return "{}", nil
		}
		return asJSON(e.Metadata)
	},
	"tags": func(e *eventstore.Event, _ eventstore.Dialect) (any, error) {
		if e.Tags == nil {
			return "[]", nil
		}
		return asJSON(e.Tags)
	},
}

// text returns NULL for what an event does not have.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func asJSON(v any) (any, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// moment returns a time as the database reads it, in UTC and to the microsecond, or NULL.
func moment(t time.Time, dialect eventstore.Dialect) any {
	switch {
	case t.IsZero():
		return nil
	case dialect == eventstore.MySQL:
		return t.UTC().Format("2006-01-02 15:04:05.000000")
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// parseParameter returns the parameter at the beginning of a text, and its length.
func parseParameter(rest string) (*parameter, int, error) {
	if m := pathParameter.FindStringSubmatch(rest); m != nil {
		p := &parameter{text: m[0], optional: m[2] != ""}
		for _, it := range pathStep.FindAllString(m[1], -1) {
			s := step{member: strings.Trim(it[1:], `"`), index: -1}
			if it[0] == '[' {
				s.index, _ = strconv.Atoi(it[1 : len(it)-1]) // digits
			}
			p.path = append(p.path, s)
		}
		return p, len(m[0]), nil
	}
	if m := metaParameter.FindStringSubmatch(rest); m != nil {
		return &parameter{text: m[0], metadata: m[1] + m[2], optional: m[3] != ""}, len(m[0]), nil
	}
	if m := eventParameter.FindStringSubmatch(rest); m != nil {
		if _, ok := fields[m[1]]; !ok {
			var names []string
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			return nil, 0, fmt.Errorf("$event.%s does not exist: an event has %s", m[1], strings.Join(names, ", "))
		}
		return &parameter{text: m[0], event: m[1], optional: m[2] != ""}, len(m[0]), nil
	}
	if m := aggregateID.FindString(rest); m != "" {
		return &parameter{text: m, event: "aggregate_id"}, len(m), nil
	}
	return nil, 0, fmt.Errorf("%.20q is not a parameter: write $.field, $event.name, $metadata.key or $aggregate_id", rest)
}

// errAbsent means that an event does not have what a parameter stands for.
var errAbsent = errors.New("the event does not have it")

// value returns the parameter's value for an event, in a type that database/sql takes.
func (p *parameter) value(d *document) (any, error) {
	v, err := p.find(d)
	if errors.Is(err, errAbsent) {
		if p.optional {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w: write %s? if it may be absent", p, err, p)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return v, nil
}

func (p *parameter) find(d *document) (any, error) {
	switch {
	case p.event != "":
		return fields[p.event](d.event, d.dialect)
	case p.metadata != "":
		v, ok := d.event.Metadata[p.metadata]
		if !ok {
			return nil, errAbsent
		}
		return v, nil
	}
	raw, err := d.at(p.path)
	if err != nil {
		return nil, err
	}
	return sqlValue(raw, d.dialect)
}
