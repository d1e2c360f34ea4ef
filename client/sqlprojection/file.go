package sqlprojection

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// File is a projection as its YAML file describes it.
type File struct {
	// Name is the key of the checkpoint, at most 255 bytes.
	Name string `yaml:"name"`
	// Version is that of the read model's form; 0 means 1. A greater one than the live one is built beside it.
	Version int `yaml:"version"`
	// Source says which events to read. Their types are those of Events.
	Source Selection `yaml:"source"`
	// Tables are the statements that create each table of the read model. A statement refers to a table as {name}.
	Tables map[string]Statements `yaml:"tables"`
	// Events are the statements to run for each type of event, in order. The key type@2 is for events of schema version 2 only, and takes
	// precedence over the key type.
	Events map[string]Statements `yaml:"events"`
	// Erased are the statements to run for each type of event in place of those of Events, once an event was erased. They run where the event
	// is, and for events that were applied before, when the projection learns of the erasure. Nothing is left of the data, metadata and
	// tags. A type without them is passed over.
	Erased map[string]Statements `yaml:"erased"`
	// OnError is what becomes of an event that a statement fails for: stop, the default, skip or park.
	OnError string `yaml:"on_error"`
	// Samples are events to check the file with.
	Samples []Sample `yaml:"samples"`

	tables map[string][]*statement
	events map[string][]*statement
	erased map[string][]*statement
}

// Selection selects events. Each field that is set must match.
type Selection struct {
	// Channels are any of these: names, or patterns with * for a token between dots and > for the rest. Empty means all event channels.
	Channels []string `yaml:"channels"`
	// AggregateTypes are any of these.
	AggregateTypes []string `yaml:"aggregate_types"`
	// Tags are all of these.
	Tags []string `yaml:"tags"`
}

// Statements are one SQL statement, or a list of them.
type Statements []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Statements) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		return node.Decode((*[]string)(s))
	}
	var one string
	if err := node.Decode(&one); err != nil {
		return err
	}
	*s = Statements{one}
	return nil
}

// Read reads a file. The error names the file and what is wrong.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse returns the projection that YAML describes. An unknown key is an error that names its line.
func Parse(data []byte) (*File, error) {
	f := &File{}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(f); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty: docs/guides/sql-projections.md shows one")
		}
		return nil, err
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document after ---: write a file for each projection")
	}
	if err := f.compile(); err != nil {
		return nil, err
	}
	return f, nil
}

// tableName is what a table may be called: it gets the generation's number as a suffix, and is used without quotes.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,49}$`)

// again is how a statement that creates something begins, so that it can be run again.
var again = regexp.MustCompile(`(?is)^\s*create\s+(unlogged\s+)?(table|(unique\s+)?index)\s+if\s+not\s+exists\b`)

// changes is how a statement for an event begins. MySQL commits at TRUNCATE and whatever else changes a schema.
var changes = regexp.MustCompile(`(?is)^(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:insert|update|delete|replace|merge|with|select|call)\b`)

func (f *File) compile() error {
	switch {
	case f.Name == "":
		return errors.New("name is missing: it is the key of the checkpoint")
	case len(f.Name) > 250:
		return fmt.Errorf("name has %d bytes: at most 250 are possible", len(f.Name))
	case f.Version < 0:
		return fmt.Errorf("version is %d: it begins at 1", f.Version)
	case len(f.Events) == 0:
		return errors.New("events is empty: name the types of events, each with its statements")
	}
	if _, err := f.decision(); err != nil {
		return err
	}
	f.tables = map[string][]*statement{}
	for name, texts := range f.Tables {
		if !tableName.MatchString(name) {
			return fmt.Errorf("tables: %q is not a possible name: use at most 50 letters, digits and _", name)
		}
		for i, text := range texts {
			s, err := f.statement(text)
			if err == nil && len(s.parameters) > 0 {
				err = fmt.Errorf("%s has no event to come from", s.parameters[0])
			}
			if err == nil && !again.MatchString(text) {
				err = errors.New("begin with CREATE TABLE IF NOT EXISTS or CREATE INDEX IF NOT EXISTS: it is run at each start")
			}
			if err != nil {
				return fmt.Errorf("tables: %s, statement %d: %w", name, i+1, err)
			}
			f.tables[name] = append(f.tables[name], s)
		}
	}
	var err error
	if f.events, err = f.changes("events", f.Events); err != nil {
		return err
	}
	if f.erased, err = f.changes("erased", f.Erased); err != nil {
		return err
	}
	types := f.types()
	for kind, statements := range f.erased {
		if !slices.Contains(types, kind) {
			return fmt.Errorf("erased: %s is not among events, so none is read", kind)
		}
		for i, s := range statements {
			for _, p := range s.parameters {
				if len(p.path) > 0 || p.metadata != "" {
					return fmt.Errorf("erased: %s, statement %d: an erased event has no %s: use $event and $aggregate_id", kind, i+1, p)
				}
			}
		}
	}
	return nil
}

// changes parses the statements for types of events.
func (f *File) changes(key string, of map[string]Statements) (map[string][]*statement, error) {
	all := map[string][]*statement{}
	for kind, texts := range of {
		if len(texts) == 0 {
			return nil, fmt.Errorf("%s: %s has no statement", key, kind)
		}
		for i, text := range texts {
			s, err := f.statement(text)
			if err == nil && !changes.MatchString(text) {
				err = errors.New("begin with INSERT, UPDATE, DELETE, REPLACE, MERGE, WITH, SELECT or CALL: others, such as TRUNCATE and COMMIT, may end the transaction, and an event would take effect twice")
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s, statement %d: %w", key, kind, i+1, err)
			}
			all[kind] = append(all[kind], s)
		}
	}
	return all, nil
}

// statement parses a statement and checks the tables that it refers to.
func (f *File) statement(text string) (*statement, error) {
	s, err := parseStatement(text)
	if err != nil {
		return nil, err
	}
	for _, name := range s.tables {
		if _, ok := f.Tables[name]; !ok {
			return nil, fmt.Errorf("{%s} is not among tables: %s", name, strings.Join(f.tableNames(), ", "))
		}
	}
	return s, nil
}

func (f *File) tableNames() []string { return slices.Sorted(maps.Keys(f.Tables)) }

// types returns the types of events, without schema versions.
func (f *File) types() []string {
	var types []string
	for kind := range f.Events {
		kind, _, _ = strings.Cut(kind, "@")
		types = append(types, kind)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// statementsOf returns the statements for an event, nil if the file has none.
func (f *File) statementsOf(e *eventstore.Event) []*statement {
	if e.Erased > 0 {
		return f.erased[e.Type]
	}
	version := cmp.Or(e.Metadata[eventstore.MetadataSchemaVersion], "1")
	if s, ok := f.events[e.Type+"@"+version]; ok {
		return s
	}
	return f.events[e.Type]
}

func (f *File) decision() (eventstore.Decision, error) {
	switch f.OnError {
	case "", "stop":
		return eventstore.Stop, nil
	case "skip":
		return eventstore.Skip, nil
	case "park":
		return eventstore.Park, nil
	}
	return 0, fmt.Errorf("on_error is %q: it must be stop, skip or park", f.OnError)
}

// query selects the events. An item of a query takes at most 100 types.
func (f *File) query() eventstore.Query {
	var q eventstore.Query
	for types := range slices.Chunk(f.types(), 100) {
		q.Items = append(q.Items, eventstore.QueryItem{
			EventTypes: types, Channels: f.Source.Channels, AggregateTypes: f.Source.AggregateTypes, Tags: f.Source.Tags,
		})
	}
	if len(f.erased) > 0 {
		q.Items = append(q.Items, eventstore.QueryItem{Channels: []string{eventstore.ErasuresChannel}, EventTypes: []string{typeEventsErased}})
	}
	return q
}
