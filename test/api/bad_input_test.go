package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestBadInput: each bad request gets its error code, and nothing of it is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source)
		c := dial(t, address)
		add(t, c, orders, event("a", 1))
		many := func(n int) []*eventstorev1.Event {
			events := make([]*eventstorev1.Event, n)
			for i := range events {
				events[i] = event("many", 0)
			}
			return events
		}
		large := event("large", 0)
		large.EventData = make([]byte, 1<<20)
		long := event("long", 0)
		long.OccurredAt = timestamppb.New(time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC))
		oversized := many(5)
		for _, e := range oversized {
			e.EventData = make([]byte, 1<<20)
		}
		one := func(e *eventstorev1.Event) []*eventstorev1.Event { return []*eventstorev1.Event{event("good", 0), e} }
		none := eventstorev1.Expectation_STATE_NONE
		for what, test := range map[string]struct {
			code connect.Code
			req  *eventstorev1.AppendRequest
		}{
			"no events":               {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders}},
			"too many events":         {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: many(1001)}},
			"oversized request":       {connect.CodeResourceExhausted, &eventstorev1.AppendRequest{Channel: orders, Events: oversized}},
			"oversized event":         {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(large)}},
			"no channel":              {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Events: one(event("a", 0))}},
			"invalid channel":         {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: "eventstore.*", Events: one(event("a", 0))}},
			"plain channel":           {connect.CodeFailedPrecondition, &eventstorev1.AppendRequest{Channel: "plain", Events: one(event("a", 0))}},
			"other case":              {connect.CodeFailedPrecondition, &eventstorev1.AppendRequest{Channel: "eventstore.Orders", Events: one(event("a", 0))}},
			"no aggregate":            {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("", 0))}},
			"no type":                 {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(&eventstorev1.Event{AggregateId: "a"})}},
			"NUL":                     {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a\x00", 0))}},
			"long identifier":         {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event(strings.Repeat("x", 256), 0))}},
			"tag with NUL":            {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(tagged("a\x00"))}},
			"empty tag":               {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(tagged("a", ""))}},
			"long tag":                {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(tagged(strings.Repeat("x", 256)))}},
			"too many tags":           {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(tagged(numbers(65)...))}},
			"event_id twice":          {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{withID("x", event("a", 0)), withID("x", event("a", 0))}}},
			"bad event on no channel": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: "eventstore.new", Events: one(event("", 0))}},
			"mixed expectations": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 0)),
				Expectations: []*eventstorev1.Expectation{is("a", none, 0), is("a", eventstorev1.Expectation_STATE_VERSION, 1)}}},
			"event against expectation": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 5)),
				Expectations: []*eventstorev1.Expectation{is("a", eventstorev1.Expectation_STATE_VERSION, 1)}}},
			"events against each other": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 2), event("a", 4)}}},
			"first event of one that exists": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 1)),
				Expectations: []*eventstorev1.Expectation{is("a", eventstorev1.Expectation_STATE_EXISTS, 0)}}},
			"version 1 as second event": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 0), event("a", 1)}}},
			"before the year 1":         {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(long)}},
			"version without its state": {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 0)), Expectations: []*eventstorev1.Expectation{is("a", none, 3)}}},
			"unknown state":             {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 0)), Expectations: []*eventstorev1.Expectation{is("a", 77, 0)}}},
			"expectation of nothing":    {connect.CodeInvalidArgument, &eventstorev1.AppendRequest{Channel: orders, Events: one(event("a", 0)), Expectations: []*eventstorev1.Expectation{is("", none, 0)}}},
		} {
			_, err := c.Append(patient(t), test.req)
			wantCode(t, what, err, test.code)
		}

		read := func(req *eventstorev1.ReadRequest) error {
			stream, err := c.Read(patient(t), req)
			_, err = drain(stream, err)
			return err
		}
		wantCode(t, "read of an unknown channel", read(&eventstorev1.ReadRequest{Channel: "eventstore.none"}), connect.CodeNotFound)
		wantCode(t, "read of a plain channel", read(&eventstorev1.ReadRequest{Channel: "plain"}), connect.CodeFailedPrecondition)
		wantCode(t, "read from no time", read(&eventstorev1.ReadRequest{Channel: orders,
			Start: &eventstorev1.ReadRequest_FromTime{FromTime: &timestamppb.Timestamp{Nanos: -1}}}), connect.CodeInvalidArgument)
		wantCode(t, "filter of too many types", read(&eventstorev1.ReadRequest{Channel: orders,
			Filter: &eventstorev1.Filter{EventTypes: make([]string, 101)}}), connect.CodeInvalidArgument)
		stream, err := c.ReadAggregate(patient(t), &eventstorev1.ReadAggregateRequest{Channel: orders})
		_, err = drain(stream, err)
		wantCode(t, "read of no aggregate", err, connect.CodeInvalidArgument)
		subscription, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: "plain"})
		_, err = drain(subscription, err)
		wantCode(t, "subscription to a plain channel", err, connect.CodeFailedPrecondition)
		for what, test := range map[string]struct {
			code connect.Code
			req  *eventstorev1.GetEventRequest
		}{
			"no key":                 {connect.CodeInvalidArgument, &eventstorev1.GetEventRequest{Channel: orders}},
			"no event_id":            {connect.CodeInvalidArgument, &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{}}},
			"unknown event_id":       {connect.CodeNotFound, &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "none"}}},
			"sequence of no channel": {connect.CodeInvalidArgument, &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}}},
			"beyond the end":         {connect.CodeNotFound, &eventstorev1.GetEventRequest{Channel: orders, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1 << 63}}},
		} {
			_, err := c.GetEvent(patient(t), test.req)
			wantCode(t, what, err, test.code)
		}
		for body, want := range map[string]int{
			`{"channel":`: http.StatusBadRequest, `{"channel":"\xff"}`: http.StatusBadRequest, "{\"channel\":\"\xff\"}": http.StatusBadRequest,
			`{"chanel":"x"}`: http.StatusBadRequest, `{"events":[null]}`: http.StatusBadRequest,
			"{\"events\":[{\"tags\":[\"\xff\"]}]}": http.StatusBadRequest, `{"events":[{"tags":["\ud800"]}]}`: http.StatusBadRequest,
		} {
			resp, err := http.Post("http://"+address+"/eventstore.v1.EventStore/Append", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != want {
				t.Errorf("%q: %d %s %v", body, resp.StatusCode, text, err)
			}
		}

		// Cancelling a stream ends it and affects nobody else.
		ctx, cancel := context.WithCancel(patient(t))
		cancelled, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: orders})
		if err != nil || !cancelled.Receive() {
			t.Fatal(err)
		}
		cancel()
		_, err = drain(cancelled, nil)
		wantCode(t, "cancelled stream", err, connect.CodeCanceled)

		channels, err := c.ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s", len(channels.GetChannels()), sequences(readAll(t, c, &eventstorev1.ReadRequest{Channel: orders}))); got != "1 1 " {
			t.Errorf("channels and sequences after all: %s", got)
		}
	})
}

// TestToken: without the token, only the health service answers.
func TestToken(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", databases.SQLite(t), "-grpc_token", "s3cret")
	_, err := dial(t, address).ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
	wantCode(t, "no token", err, connect.CodeUnauthenticated)
	for token, want := range map[string]int{"Bearer s3cret": 200, "Bearer s3cre": 401, "s3cret": 401} {
		req, err := http.NewRequestWithContext(patient(t), http.MethodPost, "http://"+address+"/eventstore.v1.EventStore/ListChannels", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", token, resp.StatusCode, want)
		}
	}
	resp, err := http.Post("http://"+address+"/grpc.health.v1.Health/Check", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "SERVING_STATUS_SERVING") {
		t.Errorf("health: %s %v", text, err)
	}
}

// tagged returns an event with tags.
func tagged(tags ...string) *eventstorev1.Event {
	e := event("tagged", 0)
	e.Tags = tags
	return e
}

func numbers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return all
}
