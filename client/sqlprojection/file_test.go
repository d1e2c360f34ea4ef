package sqlprojection

import (
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

const small = `
name: n
tables: {t: "CREATE TABLE IF NOT EXISTS {t} (a TEXT, b TEXT)"}
events:
  A: INSERT INTO {t} VALUES ($.a, $.b?)
  A@2: INSERT INTO {t} VALUES ($.a.x, NULL)
`

// A mistake in a file is told with its place.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "empty",
		"events: {A: SELECT 1}":              "name is missing",
		"name: n":                            "events is empty",
		"name: n\nevents: {A: []}":           "no statement",
		"name: n\neventz: {A: SELECT 1}":     "line 2",
		"name: n\nevents: {A: SELECT $.}":    "events: A, statement 1",
		"name: n\nevents: {A: 'SELECT {t}'}": "not among tables",
		"name: n\non_error: retry\nevents: {A: SELECT 1}":                                          "stop, skip or park",
		"name: n\nevents: {A: COMMIT}":                                                             "may end the transaction",
		"name: n\nevents: {A: '/* a */ TRUNCATE b'}":                                               "may end the transaction",
		"name: n\nevents: {A: SELECT 1}\n---\nname: m\n":                                           "second document",
		"name: n\nversion: -1\nevents: {A: SELECT 1}":                                              "begins at 1",
		"name: n\ntables: {'a b': 'CREATE TABLE IF NOT EXISTS x (a TEXT)'}\nevents: {A: SELECT 1}": "not a possible name",
		"name: n\ntables: {t: 'CREATE TABLE {t} (a TEXT)'}\nevents: {A: SELECT 1}":                 "IF NOT EXISTS",
		"name: n\ntables: {t: 'CREATE TABLE IF NOT EXISTS {t} ($.a)'}\nevents: {A: SELECT 1}":      "no event",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nerror %v, want %q", text, err, want)
		}
	}
}

// An event of a schema version has the statements of that version, if there are any.
func TestSchemaVersions(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"": "$.a", "1": "$.a", "2": "$.a.x", "3": "$.a"} {
		e := &eventstore.Event{Type: "A"}
		if version != "" {
			e.Metadata = map[string]string{eventstore.MetadataSchemaVersion: version}
		}
		if got := f.statementsOf(e)[0].parameters[0].text; got != want {
			t.Errorf("version %q: %s, want %s", version, got, want)
		}
	}
	if got := f.query(); len(got.Items) != 1 || len(got.Items[0].EventTypes) != 1 {
		t.Errorf("query %+v", got)
	}
}

// A check by samples finds what would stop the projection, and what is probably misspelt.
func TestCheck(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if problems := f.Check(nil); problems != nil {
		t.Errorf("without samples: %v", problems)
	}
	samples, err := ReadSamples(strings.NewReader(`
{"type":"A","data":{"a":1,"c":3}}
{"type":"A","metadata":{"schema_version":"2"},"data":{"a":5}}
{"type":"B","data":{}}
`))
	if err != nil || len(samples) != 3 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	var got []string
	for _, p := range f.Check(samples) {
		got = append(got, p.Error())
	}
	want := []string{"sample 2 (A), statement 1: $.a.x: the event does not have it", "sample 3 (B): no statement", "events: A: no sample has $.b?: is it misspelt"}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
	samples, err = ReadSamples(strings.NewReader(`{"type":"A","data":{"a":1,"b":2.50}}`))
	if err != nil || string(samples[0].Data) != `{"a":1,"b":2.50}` {
		t.Fatal(err)
	}
	if problems := f.Check(samples); len(problems) != 1 || !strings.Contains(problems[0].Error(), "A@2 has no sample") {
		t.Errorf("%v", problems)
	}
	if _, err := ReadSamples(strings.NewReader("\n{\"typ\":1}")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}
