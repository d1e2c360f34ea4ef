package api_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// query is a query of one item.
func query(it *eventstorev1.QueryItem) *eventstorev1.Query {
	return &eventstorev1.Query{Items: []*eventstorev1.QueryItem{it}}
}

// place names an event by where it is: "7 eventstore.orders/3".
func place(e *eventstorev1.RecordedEvent) string {
	return fmt.Sprintf("%d %s/%d", e.GetPosition(), e.GetChannel(), e.GetSequence())
}

// randomEvents appends n events to some channels, one or a few at a time.
func randomEvents(t *testing.T, c client, r *rand.Rand, all []*eventstorev1.RecordedEvent, n int) []*eventstorev1.RecordedEvent {
	t.Helper()
	for n > 0 {
		channel := []string{orders, billing, sales}[r.IntN(3)]
		var events []*eventstorev1.Event
		for range 1 + r.IntN(min(n, 20)) {
			e := event(fmt.Sprintf("a-%d", r.IntN(20)), 0)
			e.EventType = []string{"Added", "Added", "Added", "orders.Paid", "Rare"}[r.IntN(5)]
			e.AggregateType = []string{"", "Order"}[r.IntN(2)]
			e.Metadata = map[string]string{"user": []string{"ann", "bob"}[r.IntN(2)]}
			if r.IntN(3) == 0 {
				e.Tags = []string{fmt.Sprint("customer:", r.IntN(5)), "tagged"}
			}
			events = append(events, e)
		}
		n -= len(events)
		for i, at := range add(t, c, channel, events...).GetEvents() {
			all = append(all, &eventstorev1.RecordedEvent{Event: events[i], Channel: channel, Sequence: at.GetSequence(), Position: at.GetPosition()})
			if at.GetPosition() != uint64(len(all)) {
				t.Fatalf("position %d, want %d", at.GetPosition(), len(all))
			}
		}
	}
	return all
}

// randomQuery returns a query of items that matches knows.
func randomQuery(r *rand.Rand) *eventstorev1.Query {
	q := &eventstorev1.Query{}
	for range r.IntN(3) {
		q.Items = append(q.Items, []*eventstorev1.QueryItem{
			{EventTypes: []string{"Rare", "orders.*"}},
			{Channels: []string{"eventstore.*"}},
			{Channels: []string{"eventstore.*", "eventstore.billing.>"}},
			{AggregateTypes: []string{""}, Tags: []string{"tagged"}},
			{AggregateIds: []string{"a-1", "a-7"}},
			{AggregateIdPrefixes: []string{"a-1"}},
			{Tags: []string{"customer:3", "tagged"}},
			{Metadata: map[string]string{"user": "ann"}, EventTypes: []string{"Added"}},
		}[r.IntN(8)])
	}
	return q
}

// matches reports whether an event matches one of the items.
func matches(q *eventstorev1.Query, e *eventstorev1.RecordedEvent) bool {
	any := func(values []string, matches func(string) bool) bool {
		return len(values) == 0 || slices.ContainsFunc(values, matches)
	}
	return len(q.GetItems()) == 0 || slices.ContainsFunc(q.GetItems(), func(it *eventstorev1.QueryItem) bool {
		for _, tag := range it.GetTags() {
			if !slices.Contains(e.GetEvent().GetTags(), tag) {
				return false
			}
		}
		for key, value := range it.GetMetadata() {
			if e.GetEvent().GetMetadata()[key] != value {
				return false
			}
		}
		isLike := func(text string) func(string) bool {
			return func(pattern string) bool {
				switch begin, ok := strings.CutSuffix(pattern, ">"); {
				case ok:
					return strings.HasPrefix(text, begin)
				case strings.HasSuffix(pattern, ".*"):
					rest, ok := strings.CutPrefix(text, strings.TrimSuffix(pattern, "*"))
					return ok && !strings.Contains(rest, ".")
				}
				return pattern == text
			}
		}
		return any(it.GetChannels(), isLike(e.GetChannel())) && any(it.GetEventTypes(), isLike(e.GetEvent().GetEventType())) &&
			any(it.GetAggregateTypes(), isLike(e.GetEvent().GetAggregateType())) && any(it.GetAggregateIds(), isLike(e.GetEvent().GetAggregateId())) &&
			any(it.GetAggregateIdPrefixes(), func(prefix string) bool { return strings.HasPrefix(e.GetEvent().GetAggregateId(), prefix) })
	})
}

// TestQueries: whatever is asked, from wherever and in either direction, Read returns what a filter of all events returns,
// and so does a subscription that was there all the time.
func TestQueries(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source, "-index_metadata", "$.user")
		c := dial(t, address)
		r := rand.New(rand.NewPCG(1, 1))
		nc, err := stan.Connect("test-cluster", "publisher", stan.NatsURL(s.URL()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		if err := nc.Publish("plain", []byte("no event")); err != nil {
			t.Fatal(err)
		}
		early := make([]*eventstorev1.Query, 4)
		live := make([]*connect.ServerStreamForClient[eventstorev1.SubscribeResponse], len(early))
		for i := range early {
			early[i] = randomQuery(r)
			if live[i], err = c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Query: early[i]}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = live[i].Close() }()
		}
		var history []*eventstorev1.RecordedEvent
		want := func(q *eventstorev1.Query, from, to uint64, limit int) (want []string) {
			for i, it := range history {
				if p := uint64(i + 1); p >= min(from, to) && p <= max(from, to) && matches(q, it) {
					want = append(want, place(it))
				}
			}
			if from > to {
				slices.Reverse(want)
			}
			if limit > 0 && len(want) > limit {
				want = want[:limit]
			}
			return want
		}
		for range 3 {
			history = randomEvents(t, c, r, history, 100)
			last := uint64(len(history))
			for range 25 {
				q := randomQuery(r)
				req := &eventstorev1.ReadRequest{Query: q, Limit: uint64(r.IntN(3) * 5)}
				from, to := uint64(1), last
				if r.IntN(2) == 0 {
					req.Direction, from, to = eventstorev1.Direction_DIRECTION_BACKWARD, last, 1
				}
				if r.IntN(2) == 0 {
					from = 1 + uint64(r.IntN(int(last)))
					req.Start = &eventstorev1.ReadRequest_FromPosition{FromPosition: from}
				}
				stream, err := c.Read(patient(t), req)
				var got []string
				checkpoint := uint64(0)
				for _, resp := range all(t, stream, err) {
					for _, e := range resp.GetEvents() {
						got = append(got, place(e))
					}
					if checkpoint = resp.GetCheckpointPosition(); resp.GetPlan() == "" || resp.GetCheckpoint() != 0 {
						t.Errorf("response %v", resp)
					}
				}
				expected := want(q, from, to, int(req.GetLimit()))
				if !slices.Equal(got, expected) {
					t.Fatalf("%v:\n%s\nwant\n%s", req, strings.Join(got, "\n"), strings.Join(expected, "\n"))
				}
				if full := req.GetLimit() > 0 && len(got) == int(req.GetLimit()); !full && checkpoint != to {
					t.Errorf("%v: checkpoint %d, want %d", req, checkpoint, to)
				}
			}
		}
		for i, stream := range live {
			var got []string
			for checkpoint, caughtUp := uint64(0), false; checkpoint < uint64(len(history)) || !caughtUp; {
				if !stream.Receive() {
					t.Fatal(stream.Err())
				}
				for _, e := range stream.Msg().GetEvents() {
					got = append(got, place(e))
				}
				checkpoint, caughtUp = stream.Msg().GetCheckpointPosition(), stream.Msg().GetCaughtUp()
			}
			if expected := want(early[i], 1, uint64(len(history)), 0); !slices.Equal(got, expected) {
				t.Errorf("%v:\n%s\nwant\n%s", early[i], strings.Join(got, "\n"), strings.Join(expected, "\n"))
			}
		}
	})
}

// follower is a subscription to a query.
type follower struct {
	*connect.ServerStreamForClient[eventstorev1.SubscribeResponse]
}

func subscribe(t *testing.T, c client, req *eventstorev1.SubscribeRequest) follower {
	t.Helper()
	stream, err := c.Subscribe(patient(t), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return follower{stream}
}

// await returns the positions of the events up to a checkpoint.
func (f follower) await(t *testing.T, position uint64) string {
	t.Helper()
	text := ""
	for f.Receive() {
		for _, e := range f.Msg().GetEvents() {
			text += fmt.Sprint(e.GetPosition(), " ")
		}
		if f.Msg().GetCheckpointPosition() >= position && f.Msg().GetCaughtUp() {
			return text
		}
	}
	t.Fatalf("the stream ended before position %d: %v", position, f.Err())
	return ""
}

// TestQuerySubscriptions: a subscription begins where it is told to, reports progress while nothing matches, and is resumed
// after a restart from its checkpoint.
func TestQuerySubscriptions(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		c := dial(t, address)
		everything := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}})
		everything.await(t, 0)
		add(t, c, orders, event("a", 1), event("a", 2))
		add(t, c, sales, event("b", 1))
		if got := everything.await(t, 3); got != "1 2 3 " {
			t.Errorf("everything: %s", got)
		}
		none := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: query(&eventstorev1.QueryItem{Tags: []string{"none"}})})
		fresh := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}})
		second := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromPosition{FromPosition: 2}})
		beyond := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromPosition{FromPosition: 5}})
		for what, it := range map[string]struct {
			follower
			want string
		}{"none": {none, ""}, "from the end": {fresh, ""}, "from 2": {second, "2 3 "}} {
			if got := it.await(t, 3); got != it.want {
				t.Errorf("%s: %q, want %q", what, got, it.want)
			}
		}
		add(t, c, "eventstore.new", event("c", 1))
		add(t, c, orders, event("a", 3))
		for what, it := range map[string]struct {
			follower
			want string
		}{"none": {none, ""}, "from the end": {fresh, "4 5 "}, "from 2": {second, "4 5 "}, "beyond the end": {beyond, "5 "}} {
			if got := it.await(t, 5); got != it.want {
				t.Errorf("%s: %q, want %q", what, got, it.want)
			}
		}
		read := func(req *eventstorev1.ReadRequest) (positions string) {
			t.Helper()
			req.Query = &eventstorev1.Query{}
			for _, e := range readAll(t, c, req) {
				positions += fmt.Sprint(e.GetPosition(), " ")
			}
			return positions
		}
		for from, want := range map[uint64]string{0: "1 2 3 4 5 ", 5: "5 ", 6: "", 1 << 63: ""} {
			if got := read(&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: from}}); got != want {
				t.Errorf("read from %d: %s", from, got)
			}
		}
		// Times select the same events in both directions.
		at := readAll(t, c, &eventstorev1.ReadRequest{Channel: "eventstore.new"})[0].GetRecordedAt()
		after := timestamppb.New(at.AsTime().Add(1))
		for _, it := range []struct {
			from *timestamppb.Timestamp
			back bool
			want string
		}{
			{at, false, "4 5 "}, {after, false, "5 "}, {at, true, "4 3 2 1 "}, {timestamppb.New(time.Unix(0, 0)), true, ""},
			{timestamppb.New(time.Unix(0, 0)), false, "1 2 3 4 5 "}, {timestamppb.New(time.Now().Add(time.Hour)), false, ""},
			{timestamppb.New(time.Now().Add(time.Hour)), true, "5 4 3 2 1 "}, {timestamppb.New(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), true, "5 4 3 2 1 "},
		} {
			req := &eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromTime{FromTime: it.from}}
			if it.back {
				req.Direction = eventstorev1.Direction_DIRECTION_BACKWARD
			}
			if got := read(req); got != it.want {
				t.Errorf("read from time %v, backward %v: %s, want %s", it.from.AsTime(), it.back, got, it.want)
			}
		}
		s.Stop()
		for everything.Receive() {
			t.Logf("leftover: %v", everything.Msg())
		}
		wantCode(t, "subscription to a server that stops", everything.Err(), connect.CodeUnavailable)
		s.Restart()
		resumed := subscribe(t, c, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromPosition{FromPosition: 4}})
		if got := resumed.await(t, 5); got != "4 5 " {
			t.Errorf("resumed: %s", got)
		}
		add(t, c, orders, event("a", 4))
		if got := resumed.await(t, 6); got != "6 " {
			t.Errorf("resumed: %s", got)
		}
	})
}

// TestBadQueries: each bad request gets its status, which says what to do.
func TestBadQueries(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", filepath.Join(t.TempDir(), "db"), "-index_metadata", "$.user")
	c := dial(t, address)
	add(t, c, orders, event("a", 1))
	everything := &eventstorev1.Query{}
	items := func(n int) *eventstorev1.Query {
		q := &eventstorev1.Query{}
		for range n {
			q.Items = append(q.Items, &eventstorev1.QueryItem{Tags: []string{"t"}})
		}
		return q
	}
	position := &eventstorev1.ReadRequest_FromPosition{FromPosition: 1}
	for what, it := range map[string]struct {
		code connect.Code
		says string
		req  *eventstorev1.ReadRequest
	}{
		"nothing":                 {connect.CodeInvalidArgument, "not a valid channel name", &eventstorev1.ReadRequest{}},
		"channel and query":       {connect.CodeInvalidArgument, "name the channel in the query's items", &eventstorev1.ReadRequest{Channel: orders, Query: everything}},
		"filter and query":        {connect.CodeInvalidArgument, "as an item of the query", &eventstorev1.ReadRequest{Filter: &eventstorev1.Filter{}, Query: everything}},
		"sequence and query":      {connect.CodeInvalidArgument, "from_position", &eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromSequence{}, Query: everything}},
		"position and channel":    {connect.CodeInvalidArgument, "set query", &eventstorev1.ReadRequest{Channel: orders, Start: position}},
		"direction and channel":   {connect.CodeInvalidArgument, "set query", &eventstorev1.ReadRequest{Channel: orders, Direction: eventstorev1.Direction_DIRECTION_BACKWARD}},
		"unknown direction":       {connect.CodeInvalidArgument, "unknown direction 9", &eventstorev1.ReadRequest{Query: everything, Direction: 9}},
		"invalid time":            {connect.CodeInvalidArgument, "from_time", &eventstorev1.ReadRequest{Query: everything, Start: &eventstorev1.ReadRequest_FromTime{FromTime: &timestamppb.Timestamp{Nanos: -1}}}},
		"too many items":          {connect.CodeInvalidArgument, "at most 100", &eventstorev1.ReadRequest{Query: items(101)}},
		"empty item":              {connect.CodeInvalidArgument, "leave out all items", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{})}},
		"tag with NUL":            {connect.CodeInvalidArgument, "NUL", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Tags: []string{"a\x00"}})}},
		"wildcard in a name":      {connect.CodeInvalidArgument, "not a pattern of channels", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Channels: []string{"eventstore.o*"}})}},
		"wildcard of types":       {connect.CodeInvalidArgument, "not a pattern of event types", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{EventTypes: []string{"*Paid"}})}},
		"plain channel":           {connect.CodeFailedPrecondition, "not an event channel", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Channels: []string{"plain"}})}},
		"pattern of plain":        {connect.CodeFailedPrecondition, "not an event channel", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Channels: []string{orders, "plain.>"}})}},
		"metadata without index":  {connect.CodeFailedPrecondition, "index_metadata", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Metadata: map[string]string{"role": "x"}})}},
		"a channel not there yet": {0, "", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Channels: []string{"eventstore.none"}})}},
		"metadata with index":     {0, "", &eventstorev1.ReadRequest{Query: query(&eventstorev1.QueryItem{Metadata: map[string]string{"user": "x"}})}},
	} {
		stream, err := c.Read(patient(t), it.req)
		responses, err := drain(stream, err)
		if it.says == "" {
			if err != nil || len(responses) > 1 || len(responses) == 1 && len(responses[0].GetEvents()) > 0 {
				t.Errorf("%s: %v, %v", what, responses, err)
			}
			continue
		}
		wantCode(t, what, err, it.code)
		if err == nil || !strings.Contains(err.Error(), it.says) {
			t.Errorf("%s: %v, want %q", what, err, it.says)
		}
	}
	for what, req := range map[string]*eventstorev1.SubscribeRequest{
		"channel and query":    {Channel: orders, Query: everything},
		"sequence and query":   {Start: &eventstorev1.SubscribeRequest_FromSequence{}, Query: everything},
		"position and channel": {Channel: orders, Start: &eventstorev1.SubscribeRequest_FromPosition{}},
		"too many items":       {Query: items(101)},
	} {
		ctx, cancel := context.WithCancel(patient(t))
		stream, err := c.Subscribe(ctx, req)
		_, err = drain(stream, err)
		cancel()
		wantCode(t, "subscribe: "+what, err, connect.CodeInvalidArgument)
	}
}

// TestQueryRights: a reader gets the events that he may read, whatever he asks for, and checkpoints beyond the others.
func TestQueryRights(t *testing.T) {
	t.Parallel()
	file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"),
		principal("admin", `admin: [">"]`),
		principal("reader", `read: ["eventstore.billing.*"]`),
		principal("writer", `append: [">"]`))
	_, address := start(t, "sqlite", filepath.Join(t.TempDir(), "db"), "-access_file", file)
	admin, reader := dialAs(t, address, "admin"), dialAs(t, address, "reader")
	add(t, admin, billing, event("a", 0))
	add(t, admin, sales, event("a", 0), event("b", 0))
	add(t, admin, billing, event("b", 0))
	add(t, admin, sales, event("c", 0))
	read := func(c client, q *eventstorev1.Query, direction eventstorev1.Direction) (positions string, checkpoint uint64, err error) {
		stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Query: q, Direction: direction})
		responses, err := drain(stream, err)
		for _, r := range responses {
			for _, e := range r.GetEvents() {
				positions += fmt.Sprint(e.GetPosition(), " ")
			}
			checkpoint = r.GetCheckpointPosition()
		}
		return positions, checkpoint, err
	}
	for _, it := range []struct {
		channels       []string
		admin, reader  string // positions; "denied"
		adminBackwards string
	}{
		{nil, "1 2 3 4 5 ", "1 4 ", "5 4 3 2 1 "},
		{[]string{"eventstore.>"}, "1 2 3 4 5 ", "1 4 ", "5 4 3 2 1 "},
		{[]string{billing}, "1 4 ", "1 4 ", "4 1 "},
		{[]string{sales}, "2 3 5 ", "denied", "5 3 2 "},
		{[]string{"eventstore.sales.*"}, "2 3 5 ", "denied", "5 3 2 "},
		{[]string{billing, sales}, "1 2 3 4 5 ", "denied", "5 4 3 2 1 "},
	} {
		q := &eventstorev1.Query{}
		if it.channels != nil {
			q = query(&eventstorev1.QueryItem{Channels: it.channels})
		}
		got, checkpoint, err := read(admin, q, eventstorev1.Direction_DIRECTION_FORWARD)
		if got != it.admin || checkpoint != 5 || err != nil {
			t.Errorf("admin, %v: %s, checkpoint %d, %v", it.channels, got, checkpoint, err)
		}
		if got, checkpoint, err = read(admin, q, eventstorev1.Direction_DIRECTION_BACKWARD); got != it.adminBackwards || checkpoint != 1 || err != nil {
			t.Errorf("admin, %v, backward: %s, checkpoint %d, %v", it.channels, got, checkpoint, err)
		}
		got, checkpoint, err = read(reader, q, eventstorev1.Direction_DIRECTION_UNSPECIFIED)
		if it.reader == "denied" {
			wantCode(t, fmt.Sprint("reader, ", it.channels), err, connect.CodePermissionDenied)
		} else if got != it.reader || checkpoint != 5 || err != nil {
			t.Errorf("reader, %v: %s, checkpoint %d, %v", it.channels, got, checkpoint, err)
		}
	}
	_, _, err := read(dialAs(t, address, "writer"), &eventstorev1.Query{}, 0)
	wantCode(t, "a principal that may read nothing", err, connect.CodePermissionDenied)

	live := subscribe(t, reader, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}})
	live.await(t, 5)
	add(t, admin, sales, event("d", 0))
	add(t, admin, billing, event("d", 0))
	if got := live.await(t, 7); got != "7 " {
		t.Errorf("a subscriber gets %s", got)
	}
}
