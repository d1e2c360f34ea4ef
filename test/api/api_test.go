package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const orders = "eventstore.orders"

// TestAppend: an append is all or nothing, idempotent, and checks expected versions of aggregates that it writes or only
// reads.
func TestAppend(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		c := dial(t, address)
		first := &eventstorev1.AppendRequest{
			Channel: orders,
			Events:  []*eventstorev1.Event{withID("1", event("a", 0)), withID("2", event("b", 1)), withID("3", event("a", 0))},
			Expectations: []*eventstorev1.Expectation{
				is("a", eventstorev1.Expectation_STATE_NONE, 0), is("c", eventstorev1.Expectation_STATE_NONE, 0), is("d", eventstorev1.Expectation_STATE_ANY, 0),
			},
		}
		want := &eventstorev1.AppendResponse{Events: []*eventstorev1.AppendedEvent{
			{Sequence: 1, EventVersion: 1, Position: 1}, {Sequence: 2, EventVersion: 1, Position: 2}, {Sequence: 3, EventVersion: 2, Position: 3}}}
		for range 3 {
			got, err := c.Append(patient(t), first)
			if err != nil || !googleproto.Equal(got, want) {
				t.Fatalf("%v, %v, want %v", got, err, want)
			}
			want.Duplicate = true // every later attempt is a duplicate, also after a restart
			if got.GetDuplicate() {
				s.Stop()
				s.Restart()
			}
		}

		for _, test := range []struct {
			expected *eventstorev1.Expectation
			event    *eventstorev1.Event
			current  uint64
		}{
			{is("a", eventstorev1.Expectation_STATE_NONE, 0), event("a", 0), 2},
			{is("a", eventstorev1.Expectation_STATE_VERSION, 1), event("a", 0), 2},
			{is("b", eventstorev1.Expectation_STATE_VERSION, 2), event("z", 0), 1},
			{is("c", eventstorev1.Expectation_STATE_EXISTS, 0), event("z", 0), 0},
			{is("b", eventstorev1.Expectation_STATE_NONE, 0), event("z", 2), 1},
			{is("a", eventstorev1.Expectation_STATE_VERSION, 4), event("a", 5), 2},
		} {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{
				Channel: orders, Events: []*eventstorev1.Event{event("z", 0), test.event},
				Expectations: []*eventstorev1.Expectation{is("a", eventstorev1.Expectation_STATE_EXISTS, 0), test.expected}[btoi(test.expected.GetAggregateId() == "a"):],
			})
			wantCode(t, test.expected.String(), err, connect.CodeAborted)
			want := &eventstorev1.VersionConflict{Channel: orders, AggregateType: "Order", AggregateId: test.expected.GetAggregateId(),
				CurrentVersion: test.current, Expected: test.expected}
			if got := conflictOf(t, err); !googleproto.Equal(got, want) {
				t.Errorf("conflict %v, want %v", got, want)
			}
		}
		// An event's own version is also an expectation.
		_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 2)}})
		wantCode(t, "stale event_version", err, connect.CodeAborted)
		if got := conflictOf(t, err); got.GetCurrentVersion() != 2 || got.GetExpected().GetVersion() != 1 {
			t.Errorf("conflict %v", got)
		}
		_, err = c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 0), event("a", 9)}})
		if got := conflictOf(t, err).GetCurrentVersion(); got != 2 {
			t.Errorf("after another event of the same refused request, the conflict reports version %d, want 2", got)
		}
		for what, events := range map[string][]*eventstorev1.Event{
			"partly stored": {withID("1", event("a", 0)), withID("9", event("a", 0))},
			"other content": {withID("9", event("a", 0)), withID("1", event("b", 0))},
		} {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: events})
			wantCode(t, what, err, connect.CodeAlreadyExists)
		}
		if got := sequences(readAll(t, c, &eventstorev1.ReadRequest{Channel: orders})); got != "1 2 3 " {
			t.Errorf("stored: %s", got)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func conflictOf(t *testing.T, err error) *eventstorev1.VersionConflict {
	t.Helper()
	var refused *connect.Error
	if errors.As(err, &refused) {
		for _, detail := range refused.Details() {
			value, err := detail.Value()
			if err != nil {
				t.Fatal(err)
			}
			if conflict, ok := value.(*eventstorev1.VersionConflict); ok {
				return conflict
			}
		}
	}
	t.Errorf("no VersionConflict in %v", err)
	return nil
}

// TestReads: reads an aggregate and a channel from every start, in both directions and with filters, and single events.
func TestReads(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source)
		c := dial(t, address)
		var batch []*eventstorev1.Event
		large := []byte(`"` + strings.Repeat("x", 2000) + `"`)
		for i := range 600 { // enough for several reads of the aggregate and several responses
			e := event("a", uint64(i+1))
			e.EventData = large
			batch = append(batch, e)
		}
		add(t, c, orders, batch...)
		shipped := &eventstorev1.Event{EventType: "Shipped", AggregateId: "parcel-1", EventId: "s1", Metadata: map[string]string{"user": "me"}}
		add(t, c, orders, shipped, event("a-2", 1))
		add(t, c, "eventstore.other", event("a", 1))

		for _, test := range []struct {
			req         *eventstorev1.ReadAggregateRequest
			first, last uint64
			n           int
		}{
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a"}, 1, 600, 600},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", FromVersion: 550}, 550, 600, 51},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", FromVersion: 601}, 0, 0, 0},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", FromVersion: 1<<64 - 1}, 0, 0, 0},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", Limit: 7}, 1, 7, 7},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", Direction: eventstorev1.Direction_DIRECTION_BACKWARD}, 600, 1, 600},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", Direction: eventstorev1.Direction_DIRECTION_BACKWARD, FromVersion: 3}, 3, 1, 3},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "a", Direction: eventstorev1.Direction_DIRECTION_BACKWARD, Limit: 1, FromVersion: 1<<64 - 1}, 600, 600, 1},
			{&eventstorev1.ReadAggregateRequest{AggregateId: "A"}, 0, 0, 0},
		} {
			test.req.Channel, test.req.AggregateType = orders, "Order"
			stream, err := c.ReadAggregate(patient(t), test.req)
			var events []*eventstorev1.RecordedEvent
			for _, r := range all(t, stream, err) {
				if len(r.GetEvents()) == 0 {
					t.Errorf("%v: an empty response", test.req)
				}
				events = append(events, r.GetEvents()...)
			}
			if len(events) != test.n || test.n > 0 && (events[0].GetEvent().GetEventVersion() != test.first || events[test.n-1].GetEvent().GetEventVersion() != test.last) {
				t.Errorf("%v: %d events", test.req, len(events))
			}
		}

		got, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "s1"}})
		if err != nil {
			t.Fatal(err)
		}
		shipped.EventVersion = 1 // the server assigns it
		parcel := got.GetEvent()
		if !googleproto.Equal(parcel.GetEvent(), shipped) || parcel.GetChannel() != orders || parcel.GetSequence() != 601 ||
			time.Since(parcel.GetRecordedAt().AsTime()).Abs() > time.Minute {
			t.Errorf("by event_id: %v", parcel)
		}
		got, err = c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: orders, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 601}})
		if err != nil || !googleproto.Equal(got.GetEvent(), parcel) {
			t.Errorf("by sequence: %v, %v", got, err)
		}

		for _, test := range []struct {
			req  *eventstorev1.ReadRequest
			want string
		}{
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: 600}}, "600 601 602 "},
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: 603}}, ""},
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: 1<<64 - 1}}, ""},
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromTime{FromTime: parcel.GetRecordedAt()}}, "601 602 "},
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromTime{FromTime: timestamppb.New(time.Now().Add(time.Hour))}}, ""},
			{&eventstorev1.ReadRequest{Start: &eventstorev1.ReadRequest_FromTime{FromTime: &timestamppb.Timestamp{Seconds: -1}}, Limit: 2}, "1 2 "},
			{&eventstorev1.ReadRequest{Filter: &eventstorev1.Filter{EventTypes: []string{"None", "Shipped"}}}, "601 "},
			{&eventstorev1.ReadRequest{Filter: &eventstorev1.Filter{EventTypes: []string{"None"}}}, ""},
			{&eventstorev1.ReadRequest{Filter: &eventstorev1.Filter{AggregateType: "Order", AggregateIdPrefix: "a-"}}, "602 "},
			{&eventstorev1.ReadRequest{Filter: &eventstorev1.Filter{AggregateIdPrefix: "a"}, Limit: 3}, "1 2 3 "},
		} {
			test.req.Channel = orders
			if got := sequences(readAll(t, c, test.req)); got != test.want {
				t.Errorf("%v: %s", test.req, got)
			}
		}
		// The checkpoint lets the next search skip what this one has examined.
		stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: orders, Filter: &eventstorev1.Filter{EventTypes: []string{"None"}}})
		if responses := all(t, stream, err); len(responses) != 1 || responses[0].GetCheckpoint() != 602 {
			t.Errorf("search with checkpoints: %v", responses)
		}

		channels, err := c.ListChannels(patient(t), &eventstorev1.ListChannelsRequest{PageSize: 1})
		if err != nil || len(channels.GetChannels()) != 1 || channels.GetChannels()[0].GetName() != orders || channels.GetChannels()[0].GetLastSequence() != 602 {
			t.Fatalf("%v, %v", channels, err)
		}
		channels, err = c.ListChannels(patient(t), &eventstorev1.ListChannelsRequest{PageToken: channels.GetNextPageToken()})
		if err != nil || len(channels.GetChannels()) != 1 || channels.GetChannels()[0].GetName() != "eventstore.other" || channels.GetNextPageToken() != "" {
			t.Fatalf("%v, %v", channels, err)
		}
	})
}

// TestSubscribe: a subscriber catches up, then receives live events from any publisher. A filtered subscriber receives
// checkpoints while nothing matches.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source)
		c := dial(t, address)
		everything, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: orders}) // the channel does not exist yet
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = everything.Close() }()
		await := func(stream *connect.ServerStreamForClient[eventstorev1.SubscribeResponse], sequence uint64) (events []*eventstorev1.RecordedEvent) {
			t.Helper()
			for stream.Receive() {
				events = append(events, stream.Msg().GetEvents()...)
				if stream.Msg().GetCheckpoint() >= sequence && stream.Msg().GetCaughtUp() {
					return events
				}
			}
			t.Fatalf("the stream ended before sequence %d: %v", sequence, stream.Err())
			return nil
		}
		await(everything, 0)
		add(t, c, orders, event("a", 1), event("a", 2))
		nc, err := stan.Connect("test-cluster", "publisher", stan.NatsURL(s.URL()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		payload, err := googleproto.Marshal(event("b", 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(orders, payload); err != nil {
			t.Fatal(err)
		}
		if got := sequences(await(everything, 3)); got != "1 2 3 " {
			t.Errorf("everything: %s", got)
		}

		filtered, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{
			Channel: orders, Start: &eventstorev1.SubscribeRequest_FromSequence{FromSequence: 2},
			Filter: &eventstorev1.Filter{AggregateType: "Order", AggregateIdPrefix: "b"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = filtered.Close() }()
		if got := sequences(await(filtered, 3)); got != "3 " {
			t.Errorf("filtered: %s", got)
		}
		fresh, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: orders, Start: &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = fresh.Close() }()
		await(fresh, 3)
		add(t, c, orders, event("a", 3))
		if got := sequences(await(filtered, 4)); got != "" { // only a checkpoint arrives
			t.Errorf("filtered: %s", got)
		}
		if got := sequences(await(fresh, 4)); got != "4 " {
			t.Errorf("from the end: %s", got)
		}
		// Subscribers of NATS Streaming receive events that were appended through the API.
		received := make(chan uint64, 4)
		if _, err := nc.Subscribe(orders, func(m *stan.Msg) { received <- m.Sequence }, stan.DeliverAllAvailable()); err != nil {
			t.Fatal(err)
		}
		for want := range uint64(4) {
			if got := <-received; got != want+1 {
				t.Errorf("NATS Streaming delivers %d, want %d", got, want+1)
			}
		}
		// A start time in the future selects events recorded from then on.
		start := time.Now().Add(2 * time.Second)
		later, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: orders,
			Start: &eventstorev1.SubscribeRequest_FromTime{FromTime: timestamppb.New(start)}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = later.Close() }()
		await(later, 4)
		add(t, c, orders, event("a", 4))
		tooLate := time.Now().After(start) // too slow: the event may have been recorded after start
		<-time.After(time.Until(start))
		add(t, c, orders, event("a", 5))
		if got := sequences(await(later, 6)); got != "6 " && !tooLate {
			t.Errorf("from a future time: %s", got)
		}

		s.Stop() // ends all streams
		for everything.Receive() {
			t.Logf("leftover: %v", everything.Msg())
		}
		wantCode(t, "subscription to a server that stops", everything.Err(), connect.CodeUnavailable)
	})
}
