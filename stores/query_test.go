package stores

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

func TestQueryMatches(t *testing.T) {
	t.Parallel()
	e := &proto.Event{
		Type: "orders.Paid", AggregateType: "Order", AggregateID: "order-17", Tags: []string{"customer:1", "region:eu"},
		Metadata: []byte(`{"user":"ann","n":7,"quoted":"a\"b"}`),
	}
	for _, it := range []struct {
		name string
		item QueryItem
		want bool
	}{
		{"channel", QueryItem{Channels: []string{"eventstore.orders"}}, true},
		{"pattern", QueryItem{Channels: []string{"x", "eventstore.*"}}, true},
		{"other channel", QueryItem{Channels: []string{"eventstore.orders.eu"}}, false},
		{"type", QueryItem{Types: []string{"orders.Paid"}}, true},
		{"type pattern", QueryItem{Types: []string{"orders.P*"}}, true},
		{"other case", QueryItem{Types: []string{"orders.paid"}}, false},
		{"aggregate type", QueryItem{AggregateTypes: []string{"Invoice", "Order"}}, true},
		{"no aggregate type", QueryItem{AggregateTypes: []string{""}}, false},
		{"aggregate", QueryItem{AggregateIDs: []string{"order-17"}}, true},
		{"other aggregate", QueryItem{AggregateIDs: []string{"order-1"}}, false},
		{"prefix", QueryItem{AggregateIDPrefixes: []string{"invoice-", "order-"}}, true},
		{"all tags", QueryItem{Tags: []string{"region:eu", "customer:1"}}, true},
		{"one tag too many", QueryItem{Tags: []string{"region:eu", "customer:2"}}, false},
		{"metadata", QueryItem{Metadata: map[string]string{"user": "ann", "quoted": `a"b`}}, true},
		{"other metadata", QueryItem{Metadata: map[string]string{"user": "bob"}}, false},
		{"metadata that is not a string", QueryItem{Metadata: map[string]string{"n": "7"}}, false},
		{"no such metadata", QueryItem{Metadata: map[string]string{"role": ""}}, false},
		{"all fields", QueryItem{Types: []string{">"}, Tags: []string{"region:eu"}, AggregateIDs: []string{"order-17"}}, true},
		{"one field does not match", QueryItem{Types: []string{">"}, Tags: []string{"region:us"}, AggregateIDs: []string{"order-17"}}, false},
	} {
		q := Query{Items: []QueryItem{it.item}}
		if err := q.Validate(); err != nil {
			t.Errorf("%s: %v", it.name, err)
		}
		if got := q.Matches("eventstore.orders", e); got != it.want {
			t.Errorf("%s: matches %v", it.name, got)
		}
		if q.Matches("eventstore.orders", nil) {
			t.Errorf("%s: matches a message that is not an event", it.name)
		}
		q.Items = append(q.Items, QueryItem{Types: []string{"orders.Paid"}})
		if !q.Matches("eventstore.orders", e) {
			t.Errorf("%s: the second item does not match", it.name)
		}
	}
	if !(Query{}).Matches("eventstore.orders", e) || (Query{}).Matches("eventstore.orders", nil) {
		t.Error("a query without items must match every event")
	}
}

func TestQueryValidate(t *testing.T) {
	t.Parallel()
	many := func(n int) []string { return strings.Split(strings.Repeat("v,", n)+"v", ",")[:n] }
	items := func(n int, it QueryItem) (q Query) {
		for range n {
			q.Items = append(q.Items, it)
		}
		return q
	}
	one := func(it QueryItem) Query { return items(1, it) }
	for _, it := range []struct {
		query Query
		want  string // of the error; "" if the query is valid
	}{
		{Query{}, ""},
		{items(MaxQueryItems, QueryItem{Tags: many(10)}), ""},
		{items(MaxQueryItems+1, QueryItem{Tags: many(1)}), "101 items: ask for at most 100"},
		{items(MaxQueryItems, QueryItem{Tags: many(11)}), "1100 values in all items: ask for at most 1000"},
		{one(QueryItem{}), "item 1: it is empty: set a field, or leave out all items"},
		{Query{[]QueryItem{{Types: many(1)}, {}}}, "item 2: it is empty"},
		{one(QueryItem{Types: many(101)}), "event_types: 101 values: ask for at most 100"},
		{one(QueryItem{Tags: many(65)}), "tags: 65 values: ask for at most 64"},
		{one(QueryItem{Tags: []string{"a\x00b"}}), `tags: "a\x00b" contains a NUL byte`},
		{one(QueryItem{Tags: []string{"\xff"}}), `tags: "\xff" is not UTF-8`},
		{one(QueryItem{Tags: []string{""}}), "tags: a value is empty"},
		{one(QueryItem{Tags: []string{strings.Repeat("x", 256)}}), "tags: a value of 256 bytes: at most 255 are possible"},
		{one(QueryItem{Types: []string{""}}), "event_types: a value is empty"},
		{one(QueryItem{Types: []string{"Order Paid..x"}}), ""}, // without a wildcard, any text
		{one(QueryItem{Types: []string{"*Paid"}}), `event_types: "*Paid" is not a pattern of event types: write`},
		{one(QueryItem{Types: []string{"a.>.b"}}), `event_types: "a.>.b" is not a pattern of event types: write`},
		{one(QueryItem{Channels: []string{"a.>", "a.>.b"}}), `channels: "a.>.b" is not a pattern of channels: write names`},
		{one(QueryItem{Channels: []string{"or*"}}), `channels: "or*" is not a pattern of channels`},
		{one(QueryItem{Channels: []string{""}}), `channels: "" is not a pattern of channels`},
		{one(QueryItem{AggregateTypes: []string{""}}), ""}, // aggregates without a type
		{one(QueryItem{AggregateIDs: []string{""}}), "aggregate_ids: a value is empty"},
		{one(QueryItem{AggregateIDPrefixes: []string{""}}), "aggregate_id_prefixes: a value is empty"},
		{one(QueryItem{Metadata: map[string]string{"": "x"}}), "metadata: key: a value is empty"},
		{one(QueryItem{Metadata: map[string]string{"k": "\x00"}}), `metadata: value of "k": "\x00" contains a NUL byte`},
		{one(QueryItem{Metadata: map[string]string{"k": ""}}), ""},
	} {
		err := it.query.Validate()
		if it.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", it.query, err)
			}
			continue
		}
		if !errors.Is(err, ErrInvalidQuery) || !strings.Contains(err.Error(), it.want) {
			t.Errorf("error %v, want %s", err, it.want)
		}
	}
}

// Patterns of channels and of types agree with regular expressions.
func TestQueryPatterns(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	text := func(tokens ...string) string {
		var all []string
		for range 1 + random.IntN(3) {
			all = append(all, tokens[random.IntN(len(tokens))])
		}
		return strings.Join(all, ".")
	}
	matched := 0
	for range 20_000 {
		name := text("a", "ab", "b")
		for _, it := range []struct {
			pattern string
			matches func(pattern, name string) bool
		}{
			{text("a", "ab", "*", ">"), MatchesChannel},
			{text("a", "a*", "*", ">"), MatchesType},
		} {
			if !ValidPattern(strings.ReplaceAll(it.pattern, "a*", "*")) {
				continue
			}
			expression := regexp.QuoteMeta(it.pattern)
			expression = strings.ReplaceAll(expression, `\*`, `[^.]*`)
			expression = "^" + strings.ReplaceAll(expression, `>`, `.+`) + "$"
			want := regexp.MustCompile(expression).MatchString(name)
			if got := it.matches(it.pattern, name); got != want {
				t.Fatalf("%q matches %q: %v", it.pattern, name, got)
			} else if got {
				matched++
			}
		}
	}
	if matched < 1000 {
		t.Errorf("%d names matched: the test does not reach enough", matched)
	}
}
