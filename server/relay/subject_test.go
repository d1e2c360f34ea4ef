package relay

import (
	"slices"
	"strings"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Whatever an event contains, NATS accepts its subject, and the stream's subjects cover it.
func TestSubjects(t *testing.T) {
	values := []string{"", "a", ".", "a.b", "..", "*", ">", "a b", "ä", "%2E", "$SYS", "\x00\r\n", strings.Repeat("x", 255)}
	for _, text := range []string{"X.{event_type}", "X.{channel}.{event_type}", "X.{aggregate_type}-{aggregate_id}.y", "X.{aggregate_id}"} {
		template, err := ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		patterns := template.Patterns(nil)
		seen := make(map[string]string) // value by subject
		for _, v := range values {
			e := &event{Event: proto.Event{Type: v, AggregateType: v, AggregateID: v}, channel: "c"}
			subject := template.subject(e)
			if !natsd.IsValidPublishSubject(subject) {
				t.Errorf("%s of %q: %q is not a subject", text, v, subject)
			}
			if !slices.ContainsFunc(patterns, func(p string) bool { return natsd.SubjectMatchesFilter(subject, p) }) {
				t.Errorf("%s of %q: %q is not covered by %q", text, v, subject, patterns)
			}
			if other, ok := seen[subject]; ok {
				t.Errorf("%s: %q and %q have the same subject", text, v, other)
			}
			seen[subject] = v
		}
	}
}

func TestPatternsOfSubjects(t *testing.T) {
	for _, test := range []struct {
		template string
		types    string
		want     string
	}{
		{"ORDERS.{event_type}", "", "ORDERS.>"},
		{"ORDERS.{event_type}", "Order*,Paid", "ORDERS.* ORDERS.Paid"},
		{"{event_type}", "ORDERS.*", "ORDERS.*"},
		{"{event_type}.{aggregate_id}", "a.b", "a.b.*"},
		{"{event_type}.{aggregate_id}", "a.>", "a.>"},
		{"events.{aggregate_type}.{aggregate_id}.{event_type}", "", "events.*.*.>"},
		{"x.{channel}.y", "", "x.>"},
	} {
		template, err := ParseTemplate(test.template)
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		if test.types != "" {
			types = strings.Split(test.types, ",")
		}
		if got := strings.Join(template.Patterns(types), " "); got != test.want {
			t.Errorf("%s of %s: %s, want %s", test.template, test.types, got, test.want)
		}
	}
}
