package api_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb/umadbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const dcbChannel = "eventstore.events"

func dialDCB(t *testing.T, address string) umadbconnect.DCBClient {
	t.Helper()
	return umadbconnect.NewDCBClient(&http.Client{Transport: http2(t, nil)}, url(address, nil), connect.WithGRPC())
}

func dcbEvent(typ string, tags ...string) *umadb.Event {
	return &umadb.Event{EventType: typ, Tags: tags, Data: []byte("data of " + typ)}
}

func dcbQuery(types, tags []string) *umadb.Query {
	return &umadb.Query{Items: []*umadb.QueryItem{{Types: types, Tags: tags}}}
}

// dcbRead returns the positions that a request reads, and the head of the last response.
func dcbRead(t *testing.T, c umadbconnect.DCBClient, req *umadb.ReadRequest) (positions string, head uint64) {
	t.Helper()
	stream, err := c.Read(patient(t), req)
	responses := all(t, stream, err)
	if len(responses) == 0 {
		t.Errorf("%v: no response", req)
	}
	for _, r := range responses {
		if n := len(r.GetEvents()); req.BatchSize != nil && n > int(req.GetBatchSize()) {
			t.Errorf("%v: %d events in a response", req, n)
		}
		for _, e := range r.GetEvents() {
			positions += fmt.Sprintf("%d ", e.GetPosition())
		}
		head = r.GetHead()
	}
	return positions, head
}

// TestDCB: clients of the published interface append with conditions, read and subscribe. They share the log with everybody
// else, and see the events of one channel.
func TestDCB(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, address := start(t, driver, source, "-grpc_dcb")
		c, ours := dialDCB(t, address), dial(t, address)
		if head, err := c.Head(patient(t), &umadb.HeadRequest{}); err != nil || head.Position != nil {
			t.Fatalf("head of an empty log: %v, %v", head, err)
		}
		if got, head := dcbRead(t, c, &umadb.ReadRequest{}); got != "" || head != 0 {
			t.Errorf("an empty log: %s, head %d", got, head)
		}
		id := uuid.NewString()
		first := dcbEvent("UserCreated", "user:1", "email:a")
		first.Uuid, first.Metadata = id, []*umadb.MetadataEntry{{Key: "by", Value: "me"}, {Key: "cause", Value: "test"}}
		request := &umadb.AppendRequest{
			Events:    []*umadb.Event{first, dcbEvent("UserNamed", "user:1")},
			Condition: &umadb.AppendCondition{FailIfEventsMatch: dcbQuery([]string{"UserCreated"}, []string{"email:a"})},
		}
		appended := func(req *umadb.AppendRequest, want uint64) {
			t.Helper()
			if resp, err := c.Append(patient(t), req); err != nil || resp.GetPosition() != want {
				t.Errorf("append: %v, %v, want position %d", resp, err, want)
			}
		}
		appended(request, 2)
		_, err := c.Append(patient(t), request) // its second event has no uuid, so it is not a retry
		wantCode(t, "condition", err, connect.CodeFailedPrecondition)
		add(t, ours, orders, event("a", 1)) // position 3
		appended(&umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("UserNamed", "user:2")},
			Condition: &umadb.AppendCondition{FailIfEventsMatch: dcbQuery(nil, []string{"user:1"}), After: googleproto.Uint64(2)}}, 4)
		_, err = c.Append(patient(t), &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("X")}, Condition: &umadb.AppendCondition{After: googleproto.Uint64(2)}})
		wantCode(t, "condition on any event", err, connect.CodeFailedPrecondition)
		retried := &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("Once", "once")}, Condition: &umadb.AppendCondition{FailIfEventsMatch: dcbQuery(nil, []string{"once"})}}
		retried.Events[0].Uuid = uuid.NewString()
		appended(retried, 5)
		appended(retried, 5)
		appended(&umadb.AppendRequest{}, 0)

		one, two := googleproto.Uint32(1), googleproto.Uint32(2)
		for what, test := range map[string]struct {
			req  *umadb.ReadRequest
			want string
			head uint64
		}{
			"everything":      {&umadb.ReadRequest{}, "1 2 4 5 ", 5},
			"small responses": {&umadb.ReadRequest{BatchSize: one}, "1 2 4 5 ", 5},
			"from":            {&umadb.ReadRequest{Start: googleproto.Uint64(2)}, "2 4 5 ", 5},
			"beyond":          {&umadb.ReadRequest{Start: googleproto.Uint64(6)}, "", 5},
			"limit":           {&umadb.ReadRequest{Limit: two}, "1 2 ", 2},
			"no events":       {&umadb.ReadRequest{Limit: googleproto.Uint32(0)}, "", 0},
			"backwards":       {&umadb.ReadRequest{Backwards: googleproto.Bool(true)}, "5 4 2 1 ", 5},
			"backwards from":  {&umadb.ReadRequest{Backwards: googleproto.Bool(true), Start: googleproto.Uint64(3), Limit: one}, "2 ", 2},
			"tag":             {&umadb.ReadRequest{Query: dcbQuery(nil, []string{"user:1"})}, "1 2 ", 5},
			"both tags":       {&umadb.ReadRequest{Query: dcbQuery(nil, []string{"user:1", "email:a"})}, "1 ", 5},
			"types":           {&umadb.ReadRequest{Query: dcbQuery([]string{"Once", "UserNamed"}, nil)}, "2 4 5 ", 5},
			"type and tag":    {&umadb.ReadRequest{Query: dcbQuery([]string{"UserNamed"}, []string{"user:2"})}, "4 ", 5},
			"nothing":         {&umadb.ReadRequest{Query: dcbQuery([]string{"None"}, nil)}, "", 5},
			"empty item":      {&umadb.ReadRequest{Query: dcbQuery(nil, nil)}, "1 2 4 5 ", 5},
		} {
			if got, head := dcbRead(t, c, test.req); got != test.want || head != test.head {
				t.Errorf("%s: %s, head %d, want %s, head %d", what, got, head, test.want, test.head)
			}
		}
		stream, err := c.Read(patient(t), &umadb.ReadRequest{Limit: one})
		if got := all(t, stream, err)[0].GetEvents()[0].GetEvent(); !googleproto.Equal(got, first) {
			t.Errorf("read %v, want %v", got, first)
		}
		stored := readAll(t, ours, &eventstorev1.ReadRequest{Channel: dcbChannel})[0].GetEvent()
		if stored.GetEventId() != id || string(stored.GetEventData()) != "data of UserCreated" || stored.GetAggregateId() != "dcb" {
			t.Errorf("stored as %v", stored)
		}

		ctx, cancel := context.WithCancel(patient(t))
		defer cancel()
		subscription, err := c.Subscribe(ctx, &umadb.SubscribeRequest{Query: dcbQuery(nil, []string{"user:2"}), After: googleproto.Uint64(1), BatchSize: one})
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := c.Subscribe(ctx, &umadb.SubscribeRequest{After: googleproto.Uint64(6)})
		if err != nil || waiting.ResponseHeader().Get("Content-Type") == "" { // clients wait for the header, not for an event
			t.Fatalf("a subscription to what is to come: %v, %v", waiting.ResponseHeader(), err)
		}
		for _, want := range []uint64{4, 6} {
			if !subscription.Receive() || subscription.Msg().GetEvents()[0].GetPosition() != want {
				t.Fatalf("subscription: %v, %v, want position %d", subscription.Msg(), subscription.Err(), want)
			}
			if want == 4 {
				add(t, ours, dcbChannel, withTags(&eventstorev1.Event{EventType: "Ours", AggregateId: "x", EventId: "not a UUID"}, "user:2"))
			}
		}
		if e := subscription.Msg().GetEvents()[0].GetEvent(); e.GetEventType() != "Ours" || e.GetUuid() != "" {
			t.Errorf("an event of another client: %v", e)
		}

		for what, test := range map[string]struct {
			code connect.Code
			req  *umadb.AppendRequest
		}{
			"uuid":              {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{{EventType: "T", Uuid: "x"}}}},
			"uuid of another":   {connect.CodeFailedPrecondition, &umadb.AppendRequest{Events: []*umadb.Event{{EventType: "T", Uuid: id}}}},
			"no type":           {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{{}}}},
			"tag with NUL":      {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("T", "a\x00b")}}},
			"key twice":         {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{{EventType: "T", Metadata: []*umadb.MetadataEntry{{Key: "k"}, {Key: "k"}}}}}},
			"beyond the end":    {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("T")}, Condition: &umadb.AppendCondition{After: googleproto.Uint64(99)}}},
			"tracking":          {connect.CodeUnimplemented, &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("T")}, TrackingInfo: &umadb.TrackingInfo{Source: "s", Position: 1}}},
			"condition, no tag": {connect.CodeInvalidArgument, &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("T")}, Condition: &umadb.AppendCondition{FailIfEventsMatch: dcbQuery(nil, []string{""})}}},
		} {
			_, err := c.Append(patient(t), test.req)
			wantCode(t, what, err, test.code)
		}
		_, err = c.GetTrackingInfo(patient(t), &umadb.TrackingRequest{Source: "s"})
		wantCode(t, "tracking", err, connect.CodeUnimplemented)
		deprecated, err := c.Read(patient(t), &umadb.ReadRequest{Subscribe: googleproto.Bool(true)}) //nolint:staticcheck // it is refused
		_, err = drain(deprecated, err)
		wantCode(t, "read that subscribes", err, connect.CodeInvalidArgument)
		if head, err := c.Head(patient(t), &umadb.HeadRequest{}); err != nil || head.GetPosition() != 6 {
			t.Errorf("head %v, %v", head, err)
		}

		// The usual loop of its clients: read what matters, decide, append unless something changed.
		const clients, each = 8, 5
		var work sync.WaitGroup
		for range clients {
			work.Go(func() {
				for done := 0; done < each; {
					stream, err := c.Read(patient(t), &umadb.ReadRequest{Query: dcbQuery([]string{"Counted"}, []string{"counter:1"})})
					responses, err := drain(stream, err)
					if err != nil {
						t.Error(err)
						return
					}
					n := 0
					for _, r := range responses {
						n += len(r.GetEvents())
					}
					_, err = c.Append(patient(t), &umadb.AppendRequest{
						Events:    []*umadb.Event{dcbEvent("Counted", "counter:1", fmt.Sprint("value:", n+1))},
						Condition: &umadb.AppendCondition{FailIfEventsMatch: dcbQuery([]string{"Counted"}, []string{"counter:1"}), After: responses[0].Head},
					})
					switch {
					case err == nil:
						done++
					case connect.CodeOf(err) != connect.CodeFailedPrecondition:
						t.Error(err)
						return
					}
				}
			})
		}
		work.Wait()
		stream, err = c.Read(patient(t), &umadb.ReadRequest{Query: dcbQuery([]string{"Counted"}, nil)})
		n := 0
		for _, r := range all(t, stream, err) {
			for _, e := range r.GetEvents() {
				if n++; !slices.Contains(e.GetEvent().GetTags(), fmt.Sprint("value:", n)) {
					t.Errorf("event %d has tags %v", n, e.GetEvent().GetTags())
				}
			}
		}
		if n != clients*each {
			t.Errorf("counted %d, want %d", n, clients*each)
		}
	})
}

// TestDCBNeedsOption: the interface is there only if the configuration says so, with the rights of its callers.
func TestDCBNeedsOption(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", databases.SQLite(t))
	_, err := dialDCB(t, address).Head(patient(t), &umadb.HeadRequest{})
	wantCode(t, "without the option", err, connect.CodeUnimplemented)

	file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"), principal("reader", `read: ["eventstore.events"]`), principal("other", `admin: ["eventstore.other"]`))
	_, address = start(t, "sqlite", databases.SQLite(t), "-grpc_dcb", "-access_file", file)
	for who, may := range map[string]bool{"reader": true, "other": false} {
		httpClient, url := as(t, address, who)
		c := umadbconnect.NewDCBClient(httpClient, url, connect.WithGRPC())
		_, appendErr := c.Append(patient(t), &umadb.AppendRequest{Events: []*umadb.Event{dcbEvent("T")}})
		wantCode(t, who+": append", appendErr, connect.CodePermissionDenied)
		_, headErr := c.Head(patient(t), &umadb.HeadRequest{})
		stream, err := c.Read(patient(t), &umadb.ReadRequest{})
		_, readErr := drain(stream, err)
		for what, err := range map[string]error{"head": headErr, "read": readErr} {
			if may && err != nil {
				t.Errorf("%s: %s: %v", who, what, err)
			}
			if !may {
				wantCode(t, who+": "+what, err, connect.CodePermissionDenied)
			}
		}
	}
	if _, err := dialDCB(t, address).Head(patient(t), &umadb.HeadRequest{}); err == nil || !strings.Contains(err.Error(), "unauthenticated") {
		t.Errorf("without a token: %v", err)
	}
}
