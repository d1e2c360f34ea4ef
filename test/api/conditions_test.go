package api_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const payments = "eventstore.payments"

func withTags(e *eventstorev1.Event, tags ...string) *eventstorev1.Event {
	e.Tags = tags
	return e
}

// noneWith expects that no event after a position has all of the tags.
func noneWith(after uint64, tags ...string) *eventstorev1.Condition {
	return noneOf(after, &eventstorev1.QueryItem{Tags: tags})
}

func noneOf(after uint64, items ...*eventstorev1.QueryItem) *eventstorev1.Condition {
	return &eventstorev1.Condition{Query: &eventstorev1.Query{Items: items}, AfterPosition: after}
}

// positions lists the positions of an answer.
func positions(resp *eventstorev1.AppendResponse) string {
	text := ""
	for _, e := range resp.GetEvents() {
		text += fmt.Sprintf("%d ", e.GetPosition())
	}
	return text
}

// detailOf returns the detail of an error that has the type of want.
func detailOf(t *testing.T, err error, want googleproto.Message) googleproto.Message {
	t.Helper()
	var refused *connect.Error
	if !errors.As(err, &refused) {
		return nil
	}
	for _, detail := range refused.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if value.ProtoReflect().Descriptor() == want.ProtoReflect().Descriptor() {
			return value
		}
	}
	return nil
}

// wantConflict checks that a request was refused because of a condition, and only because of it.
func wantConflict(t *testing.T, what string, err error, condition uint32, position uint64) {
	t.Helper()
	wantCode(t, what, err, connect.CodeAborted)
	want := &eventstorev1.ConditionConflict{Condition: condition, Position: position}
	if got := detailOf(t, err, want); got == nil || !googleproto.Equal(got, want) {
		t.Errorf("%s: conflict %v, want %v", what, got, want)
	}
	if detailOf(t, err, &eventstorev1.VersionConflict{}) != nil {
		t.Errorf("%s: %v has a VersionConflict, too", what, err)
	}
}

// TestConditions: an append is stored only if no event after a position matches a query, and its answer names the
// positions. Versions and expectations hold as well.
func TestConditions(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		c := dial(t, address)
		try := func(e *eventstorev1.Event, conditions ...*eventstorev1.Condition) (*eventstorev1.AppendResponse, error) {
			return c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{e}, Conditions: conditions})
		}
		first := withID("first", withTags(event("a", 0), "user:ada", "email:a@example.com"))
		if resp, err := try(first, noneWith(0, "email:a@example.com")); err != nil || positions(resp) != "1 " {
			t.Fatalf("%v, %v", resp, err)
		}
		add(t, c, payments, withTags(event("p", 0), "user:ada"))
		shipped := &eventstorev1.Event{EventType: "Shipped.v1", AggregateType: "Parcel", AggregateId: "x-1"}
		add(t, c, orders, shipped)

		for round := range 2 { // from memory, then from the database
			if round == 1 {
				s.Stop()
				s.Restart()
			}
			for what, test := range map[string]struct {
				position   uint64 // of the conflict; 0: none
				conditions []*eventstorev1.Condition
			}{
				"tag":                  {1, []*eventstorev1.Condition{noneWith(0, "user:ada")}},
				"tag, later":           {2, []*eventstorev1.Condition{noneWith(1, "user:ada")}},
				"tag, read":            {0, []*eventstorev1.Condition{noneWith(2, "user:ada")}},
				"both tags":            {0, []*eventstorev1.Condition{noneWith(1, "user:ada", "email:a@example.com")}},
				"any item":             {2, []*eventstorev1.Condition{noneOf(1, &eventstorev1.QueryItem{Tags: []string{"none"}}, &eventstorev1.QueryItem{Channels: []string{payments}})}},
				"type":                 {3, []*eventstorev1.Condition{noneOf(0, &eventstorev1.QueryItem{EventTypes: []string{"Shipped.v1"}})}},
				"pattern of types":     {3, []*eventstorev1.Condition{noneOf(0, &eventstorev1.QueryItem{EventTypes: []string{"Shipped.>"}})}},
				"aggregate":            {3, []*eventstorev1.Condition{noneOf(0, &eventstorev1.QueryItem{AggregateTypes: []string{"Parcel"}, AggregateIds: []string{"x-1"}})}},
				"prefix":               {3, []*eventstorev1.Condition{noneOf(0, &eventstorev1.QueryItem{AggregateIdPrefixes: []string{"x-"}})}},
				"channel of no events": {0, []*eventstorev1.Condition{noneOf(0, &eventstorev1.QueryItem{Channels: []string{"eventstore.none"}})}},
				"empty query":          {3, []*eventstorev1.Condition{noneOf(2)}},
				"second of two":        {1, []*eventstorev1.Condition{noneWith(2, "user:ada"), noneWith(0, "user:ada")}},
			} {
				e := event("z", 0)
				if test.position == 0 {
					e = event("z", 9) // to be refused for its version: the condition holds
				}
				_, err := try(e, test.conditions...)
				if test.position == 0 {
					if conflictOf(t, err).GetAggregateId() != "z" {
						t.Errorf("%s: %v, want a conflict of versions", what, err)
					}
					continue
				}
				wantConflict(t, what, err, uint32(len(test.conditions)-1), test.position)
			}
		}

		// Someone who has seen everything succeeds, and the answer is where the next decision begins.
		resp, err := try(withTags(event("a", 2), "user:ada"), noneOf(3))
		if err != nil || positions(resp) != "4 " {
			t.Fatalf("%v, %v", resp, err)
		}
		_, err = try(event("a", 0), noneWith(3, "user:ada"))
		wantConflict(t, "its own event", err, 0, 4)

		// A retry of a stored request succeeds, though its condition does not hold any more.
		for range 2 {
			resp, err := try(first, noneWith(0, "email:a@example.com"))
			if err != nil || !resp.GetDuplicate() || positions(resp) != "1 " {
				t.Errorf("retry: %v, %v", resp, err)
			}
			s.Stop()
			s.Restart()
		}
		if got := sequences(readAll(t, c, &eventstorev1.ReadRequest{Channel: orders})); got != "1 2 3 " {
			t.Errorf("stored: %s", got)
		}
	})
}

// TestBadConditions: each bad condition gets its error code and an error that says what to do, and nothing is stored.
func TestBadConditions(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source)
		c := dial(t, address)
		add(t, c, orders, event("a", 1))
		many := func(n int, c *eventstorev1.Condition) []*eventstorev1.Condition {
			return slices.Repeat([]*eventstorev1.Condition{c}, n)
		}
		types := make([]string, 51)
		for i := range types {
			types[i] = fmt.Sprint("T", i)
		}
		for what, test := range map[string]struct {
			code       connect.Code
			says       string
			conditions []*eventstorev1.Condition
		}{
			"no query":             {connect.CodeInvalidArgument, "an empty one, {}, stands for every event", []*eventstorev1.Condition{noneWith(0, "x"), {}}},
			"missing":              {connect.CodeInvalidArgument, "condition 1 has no query", []*eventstorev1.Condition{nil}},
			"beyond the end":       {connect.CodeFailedPrecondition, "was the log restored from a backup?", []*eventstorev1.Condition{noneWith(2, "x")}},
			"far beyond the end":   {connect.CodeFailedPrecondition, "beyond the last position, 1", many(1, noneOf(1<<64-1))},
			"too many":             {connect.CodeInvalidArgument, "at most 100", many(101, noneWith(0, "x"))},
			"too many values":      {connect.CodeInvalidArgument, "more than 1000 values", many(20, noneOf(0, &eventstorev1.QueryItem{EventTypes: types}))},
			"too many types":       {connect.CodeInvalidArgument, "ask for at most 100", many(1, noneOf(0, &eventstorev1.QueryItem{EventTypes: make([]string, 101)}))},
			"too many tags":        {connect.CodeInvalidArgument, "ask for at most 64", many(1, noneWith(0, slices.Repeat([]string{"x"}, 65)...))},
			"tag with NUL":         {connect.CodeInvalidArgument, "NUL", many(1, noneWith(0, "a\x00b"))},
			"empty tag":            {connect.CodeInvalidArgument, "leave it out", many(1, noneWith(0, ""))},
			"long tag":             {connect.CodeInvalidArgument, "at most 255", many(1, noneWith(0, strings.Repeat("x", 256)))},
			"empty item":           {connect.CodeInvalidArgument, "set a field", many(1, noneOf(0, &eventstorev1.QueryItem{}))},
			"invalid pattern":      {connect.CodeInvalidArgument, "not a pattern of channels", many(1, noneOf(0, &eventstorev1.QueryItem{Channels: []string{"a..b"}}))},
			"metadata, no index":   {connect.CodeFailedPrecondition, "index_metadata", many(1, noneOf(0, &eventstorev1.QueryItem{Metadata: map[string]string{"user": "x"}}))},
			"plain channel":        {connect.CodeFailedPrecondition, "not an event channel", many(1, noneOf(0, &eventstorev1.QueryItem{Channels: []string{"plain"}}))},
			"second query invalid": {connect.CodeInvalidArgument, "condition 2", []*eventstorev1.Condition{noneWith(0, "x"), noneWith(0, "")}},
		} {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 0)}, Conditions: test.conditions})
			wantCode(t, what, err, test.code)
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v, want %q", what, err, test.says)
			}
		}
		bad := withTags(event("a", 0), "a\x00b")
		_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{bad}})
		wantCode(t, "event whose tag has a NUL", err, connect.CodeInvalidArgument)
		if got := sequences(readAll(t, c, &eventstorev1.ReadRequest{Channel: orders})); got != "1 " {
			t.Errorf("stored: %s", got)
		}
	})
}

// TestSeveralChannels: one append stores events on several channels, all or none, at neighbouring positions.
func TestSeveralChannels(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		c := dial(t, address)
		add(t, c, payments, event("a", 0))
		one := func(channel string, events ...*eventstorev1.Event) *eventstorev1.ChannelEvents {
			return &eventstorev1.ChannelEvents{Channel: channel, Events: events}
		}
		req := &eventstorev1.AppendRequest{
			Channel: orders, Events: []*eventstorev1.Event{withID("1", event("a", 0)), withID("2", event("b", 0))},
			More: []*eventstorev1.ChannelEvents{one(payments, withID("1", event("a", 2)), withID("2", event("c", 1))), one("eventstore.new", withID("1", event("a", 0)))},
		}
		want := &eventstorev1.AppendResponse{Events: []*eventstorev1.AppendedEvent{
			{Sequence: 1, EventVersion: 1, Position: 2}, {Sequence: 2, EventVersion: 1, Position: 3},
			{Sequence: 2, EventVersion: 2, Position: 4}, {Sequence: 3, EventVersion: 1, Position: 5},
			{Sequence: 1, EventVersion: 1, Position: 6},
		}}
		for range 2 {
			if got, err := c.Append(patient(t), req); err != nil || !googleproto.Equal(got, want) {
				t.Fatalf("%v, %v, want %v", got, err, want)
			}
			want.Duplicate = true
			s.Stop()
			s.Restart()
		}
		resp, err := c.Append(patient(t), &eventstorev1.AppendRequest{More: []*eventstorev1.ChannelEvents{one(payments, event("d", 1))}})
		if err != nil || positions(resp) != "7 " {
			t.Errorf("only in more: %v, %v", resp, err)
		}

		none := eventstorev1.Expectation_STATE_NONE
		expecting := func(p *eventstorev1.ChannelEvents, e ...*eventstorev1.Expectation) *eventstorev1.ChannelEvents {
			p.Expectations = e
			return p
		}
		// The same aggregate has versions of its own on each channel, and a conflict names the right one.
		for what, test := range map[string]struct {
			more    *eventstorev1.ChannelEvents
			current uint64
		}{
			"event_version": {one(payments, event("a", 2)), 2},
			"expectation":   {expecting(one(payments, event("x", 0)), is("d", none, 0)), 1},
		} {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 2)}, More: []*eventstorev1.ChannelEvents{test.more}})
			wantCode(t, what, err, connect.CodeAborted)
			if got := conflictOf(t, err); got.GetChannel() != payments || got.GetCurrentVersion() != test.current {
				t.Errorf("%s: conflict %v", what, got)
			}
		}
		_, err = c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 1)}, More: []*eventstorev1.ChannelEvents{one(payments, event("z", 1))}})
		if got := conflictOf(t, err); got.GetChannel() != orders || got.GetCurrentVersion() != 1 {
			t.Errorf("first channel: conflict %v", got)
		}
		_, err = c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 0)}, More: []*eventstorev1.ChannelEvents{one(payments, event("z", 1))},
			Conditions: []*eventstorev1.Condition{noneOf(6)}})
		wantConflict(t, "a condition of all channels", err, 0, 7)

		for what, test := range map[string]struct {
			code connect.Code
			more []*eventstorev1.ChannelEvents
		}{
			"channel twice":             {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one(payments, event("z", 0)), one(payments, event("z", 0))}},
			"the first channel twice":   {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one(orders, event("z", 0))}},
			"no events":                 {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one(payments)}},
			"no channel":                {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one("", event("z", 0))}},
			"missing":                   {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{nil}},
			"invalid event":             {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one(payments, event("", 0))}},
			"plain channel":             {connect.CodeFailedPrecondition, []*eventstorev1.ChannelEvents{one("plain", event("z", 0))}},
			"event_id of another event": {connect.CodeAlreadyExists, []*eventstorev1.ChannelEvents{one(payments, withID("1", event("z", 0)))}},
			"too many events":           {connect.CodeInvalidArgument, []*eventstorev1.ChannelEvents{one(payments, slices.Repeat([]*eventstorev1.Event{event("z", 0)}, 1000)...)}},
		} {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{withID("9", event("z", 0))}, More: test.more})
			wantCode(t, what, err, test.code)
		}
		for channel, want := range map[string]string{orders: "1 2 ", payments: "1 2 3 4 ", "eventstore.new": "1 "} {
			if got := sequences(readAll(t, c, &eventstorev1.ReadRequest{Channel: channel})); got != want {
				t.Errorf("channel %s holds %s", channel, got)
			}
		}
	})
}

// TestConditionsNeedRights: an append to several channels needs the right to each. A condition concerns what its caller
// may read, and tells nothing of the rest.
func TestConditionsNeedRights(t *testing.T) {
	t.Parallel()
	file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"),
		principal("admin", `admin: [">"]`),
		principal("clerk", `append: ["eventstore.billing.>"], read: ["eventstore.billing.>"]`),
		principal("writer", `append: ["eventstore.billing.>"]`))
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source, "-access_file", file)
		admin := dialAs(t, address, "admin")
		add(t, admin, sales, withTags(event("s", 1), "user:ada"))
		add(t, admin, billing, event("b", 1))
		add(t, admin, sales, withTags(event("s", 2), "user:ada"))
		try := func(who string, more []*eventstorev1.ChannelEvents, conditions ...*eventstorev1.Condition) error {
			_, err := dialAs(t, address, who).Append(patient(t), &eventstorev1.AppendRequest{
				Channel: billing, Events: []*eventstorev1.Event{withTags(event("c", 0), "user:eve")}, Conditions: conditions, More: more})
			return err
		}
		secret := []*eventstorev1.ChannelEvents{{Channel: sales, Events: []*eventstorev1.Event{event("s", 0)}}}
		wantCode(t, "second channel", try("clerk", secret), connect.CodePermissionDenied)
		wantCode(t, "second channel, new", try("clerk", []*eventstorev1.ChannelEvents{{Channel: "eventstore.sales.new", Events: []*eventstorev1.Event{event("s", 0)}}}), connect.CodePermissionDenied)
		for range 2 { // from memory, then from the database
			wantConflict(t, "admin", try("admin", nil, noneWith(0, "user:ada")), 0, 1)
			wantConflict(t, "what the clerk may read", try("clerk", nil, noneOf(0)), 0, 2)
			if err := try("clerk", nil, noneWith(0, "user:ada"), noneOf(0, &eventstorev1.QueryItem{Channels: []string{"eventstore.>"}, Tags: []string{"user:ada"}})); err != nil {
				t.Errorf("events that the clerk may not read: %v", err)
			}
			for _, channel := range []string{sales, "eventstore.sales.missing", "eventstore.sales.>"} { // a decision must not rely on what it cannot see
				err := try("clerk", nil, noneOf(0, &eventstorev1.QueryItem{Channels: []string{channel}}))
				wantCode(t, "condition on "+channel, err, connect.CodePermissionDenied)
			}
			wantCode(t, "a writer who may read nothing", try("writer", nil, noneOf(0)), connect.CodePermissionDenied)
			s.Stop()
			s.Restart()
		}
		if got := sequences(readAll(t, admin, &eventstorev1.ReadRequest{Channel: sales})); got != "1 2 " {
			t.Errorf("channel %s holds %s", sales, got)
		}
	})
}
