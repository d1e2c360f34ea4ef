package sqlprojection

import (
	"errors"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// A statement is sent as it is written, but for its tables and parameters, which are bound in their order.
func TestStatements(t *testing.T) {
	t.Parallel()
	e := &eventstore.Event{
		ID: "e-1", AggregateID: "a-1", Metadata: map[string]string{"user": "ada", "x y": "z"}, Position: 7,
		Payload: []byte(`{"a":{"b":[10,{"c":"deep"}]},"s":"it's","n":null,"t":true,"f":1.50,"e":12e-1,"big":123456789012345678901234567890,"o":{"k": [1, 2]},"odd key":3}`),
	}
	for _, test := range []struct {
		text, postgres, other string
		values                []any
	}{
		{"INSERT INTO {t} VALUES ($aggregate_id, $.a.b[0], $.a.b[1].c);", "INSERT INTO t_2 VALUES ($1, $2, $3)", "INSERT INTO t_2 VALUES (?, ?, ?)", []any{"a-1", int64(10), "deep"}},
		{"SELECT $.s, $.n, $.t, $.f, $.e", "SELECT $1, $2, $3, $4, $5", "SELECT ?, ?, ?, ?, ?", []any{"it's", nil, true, 1.5, 1.2}},
		{"SELECT $.big, $.o, $.\"odd key\"", "SELECT $1, $2, $3", "SELECT ?, ?, ?", []any{"123456789012345678901234567890", `{"k": [1, 2]}`, int64(3)}},
		{"SELECT $.missing?, $.a.missing?, $.a.b[9]?, $metadata.none?", "SELECT $1, $2, $3, $4", "SELECT ?, ?, ?, ?", []any{nil, nil, nil, nil}},
		{"-- a comment\nSELECT $event.tags, $event.occurred_at", "-- a comment\nSELECT $1, $2", "", []any{"[]", nil}},
		{"SELECT $metadata.user, $metadata.\"x y\", $event.position, $event.key", "SELECT $1, $2, $3, $4", "SELECT ?, ?, ?, ?", []any{"ada", "z", int64(7), "e-1"}},
		{`SELECT '$.a ? {t} ''x''', "$.b", 1 - 2 / 3 -- $.c ;` + "\n/* $.d ? */, $.s::text", `SELECT '$.a ? {t} ''x''', "$.b", 1 - 2 / 3 -- $.c ;` + "\n/* $.d ? */, $1::text", "", []any{"it's"}},
		{"SELECT $$a $.b$$, $q$ $$ ? $q$, $.s", "SELECT $$a $.b$$, $q$ $$ ? $q$, $1", "", []any{"it's"}},
	} {
		s, err := parseStatement(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := s.text(eventstore.PostgreSQL, 2); got != test.postgres {
			t.Errorf("%s: on PostgreSQL %s", test.text, got)
		}
		if got := s.text(eventstore.SQLite, 2); test.other != "" && got != test.other {
			t.Errorf("%s: on SQLite %s", test.text, got)
		}
		values, err := s.values(nil, &document{event: e, dialect: eventstore.SQLite})
		if err != nil || len(values) != len(test.values) {
			t.Errorf("%s: %v, %v", test.text, values, err)
			continue
		}
		for i, v := range values {
			if v != test.values[i] {
				t.Errorf("%s: value %d is %#v, want %#v", test.text, i, v, test.values[i])
			}
		}
	}
}

// What a statement cannot be says so, and what to write.
func TestWrongStatements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "empty",
		"SELECT $1":                  "write $.field",
		"SELECT ?":                   "write $.field",
		"SELECT $event.colour":       "aggregate_id",
		"SELECT 1; DROP TABLE x":     "second statement",
		"SELECT 'x":                  "does not end",
		"SELECT * FROM {a b}":        "{name}",
		"SELECT $aggregate_identity": "not a parameter",
	} {
		if _, err := parseStatement(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{"SELECT $.x": "write $.x? if", "SELECT $metadata.x": "write $metadata.x? if", "SELECT $[0]": "begin with $.field"} {
		s, err := parseStatement(text)
		if err == nil {
			_, err = s.values(nil, &document{event: &eventstore.Event{Payload: []byte("{}")}})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	s, err := parseStatement("SELECT $.x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.values(nil, &document{event: &eventstore.Event{Payload: []byte("\x0a\x01")}}); err == nil || errors.Is(err, errAbsent) {
		t.Errorf("data that is not JSON: %v", err)
	}
}

// Numbers stay exact: integers are integers however they are written.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		"0": int64(0), "-0": int64(0), "12": int64(12), "-12": int64(-12), "9223372036854775807": int64(9223372036854775807),
		"9223372036854775808": "9223372036854775808", "1.0": int64(1), "1e3": int64(1000), "1.5e1": int64(15), "1.25e1": "12.5", "125e-2": "1.25",
		"-5e-3": "-0.005", "0.10": "0.10", "1e400": "1" + strings.Repeat("0", 400), "1e401": "1e401", "1E+2": int64(100), "-0.0": int64(0),
	} {
		if got := number(text); got != want {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}
