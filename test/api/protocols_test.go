package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// protocols lists what one port speaks: how a client speaks it, and the content types of unary and streaming answers.
var protocols = map[string]struct {
	http          func(*testing.T, *tls.Config) *http.Transport
	proto         string // HTTP version
	options       []connect.ClientOption
	unary, stream string
}{
	"grpc":           {http2, "HTTP/2.0", []connect.ClientOption{connect.WithGRPC()}, "application/grpc", "application/grpc"},
	"grpc-web":       {http1, "HTTP/1.1", []connect.ClientOption{connect.WithGRPCWeb()}, "application/grpc-web+proto", "application/grpc-web+proto"},
	"grpc-web-http2": {http2, "HTTP/2.0", []connect.ClientOption{connect.WithGRPCWeb()}, "application/grpc-web+proto", "application/grpc-web+proto"},
	"connect":        {http2, "HTTP/2.0", nil, "application/proto", "application/connect+proto"},
	"connect-json":   {http1, "HTTP/1.1", []connect.ClientOption{connect.WithProtoJSON()}, "application/json", "application/connect+json"},
}

// TestProtocols: each protocol answers a request, streams stored and live events, and reports a conflict in detail, with
// and without TLS.
func TestProtocols(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	id := ca.Issue("server")
	for name, test := range map[string]struct {
		args   []string
		config *tls.Config
	}{
		"plain": {nil, nil},
		"TLS":   {[]string{"-grpc_cert", id.Cert, "-grpc_key", id.Key}, &tls.Config{RootCAs: ca.Pool()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := start(t, "sqlite", databases.SQLite(t), test.args...)
			for name, p := range protocols {
				t.Run(name, func(t *testing.T) {
					seen := &answers{RoundTripper: p.http(t, test.config)}
					c := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: seen}, url(address, test.config), p.options...)
					speaks(t, c, "eventstore."+name)
					seen.check(t, p.proto, p.unary, p.stream)
				})
			}
		})
	}
}

// answers records how requests were answered, which the client library does not expose.
type answers struct {
	http.RoundTripper

	mu   sync.Mutex      // guards seen
	seen map[string]bool // HTTP and content type
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(req)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.seen == nil {
			a.seen = map[string]bool{}
		}
		a.seen[resp.Proto+" "+resp.Header.Get("Content-Type")] = true
	}
	return resp, err
}

// check fails the test unless all these content types were seen, and no other except that of a unary Connect error.
func (a *answers) check(t *testing.T, proto string, types ...string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	want := map[string]bool{}
	for _, typ := range types {
		want[proto+" "+typ] = true
		if !a.seen[proto+" "+typ] {
			t.Errorf("no answer with %s, %s in %v", proto, typ, a.seen)
		}
	}
	if types[0] == "application/proto" {
		want[proto+" application/json"] = true
	}
	for got := range a.seen {
		if !want[got] {
			t.Errorf("got an answer with %s, want %v", got, want)
		}
	}
}

// speaks checks one protocol, on a channel of its own.
func speaks(t *testing.T, c client, channel string) {
	t.Helper()
	large := func(version uint64) *eventstorev1.Event { // two do not fit into one response
		e := event("a", version)
		e.EventData = []byte(`"` + strings.Repeat("x", 200<<10) + `"`)
		return e
	}
	stored := []*eventstorev1.Event{large(1), large(2), large(3), event("b", 1)}
	got := add(t, c, channel, stored...)
	first := got.GetEvents()[0].GetPosition() // the other protocols have appended, too
	want := &eventstorev1.AppendResponse{Events: []*eventstorev1.AppendedEvent{
		{Sequence: 1, EventVersion: 1, Position: first}, {Sequence: 2, EventVersion: 2, Position: first + 1},
		{Sequence: 3, EventVersion: 3, Position: first + 2}, {Sequence: 4, EventVersion: 1, Position: first + 3}}}
	if !googleproto.Equal(got, want) {
		t.Errorf("append: %v", got)
	}

	stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: channel})
	responses := all(t, stream, err)
	if len(responses) < 2 {
		t.Errorf("read: %d responses", len(responses))
	}
	var read []*eventstorev1.RecordedEvent
	for _, r := range responses {
		read = append(read, r.GetEvents()...)
	}
	if len(read) != len(stored) {
		t.Fatalf("read: %d events", len(read))
	}
	for i, e := range read {
		if e.GetSequence() != uint64(i+1) || !googleproto.Equal(e.GetEvent(), stored[i]) {
			t.Errorf("read: event %d has sequence %d, aggregate %q", i+1, e.GetSequence(), e.GetEvent().GetAggregateId())
		}
	}

	// Each event arrives at once: nothing on the way buffers it until there is more to send.
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	live, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: channel, Start: &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}})
	if err != nil {
		t.Fatal(err)
	}
	if !live.Receive() || live.Msg().GetCheckpoint() != 4 {
		t.Fatalf("subscribe: %v, %v", live.Msg(), live.Err())
	}
	add(t, c, channel, event("b", 2))
	for live.Receive() && len(live.Msg().GetEvents()) == 0 {
		continue // a checkpoint
	}
	if events := live.Msg().GetEvents(); sequences(events) != "5 " {
		t.Errorf("subscribe: %v, %v", events, live.Err())
	}
	cancel()
	_, err = drain(live, nil)
	wantCode(t, "cancelled subscription", err, connect.CodeCanceled)

	_, err = c.Append(patient(t), &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{event("b", 0)},
		Expectations: []*eventstorev1.Expectation{is("a", eventstorev1.Expectation_STATE_VERSION, 2)}})
	wantCode(t, "conflict", err, connect.CodeAborted)
	wantConflict := &eventstorev1.VersionConflict{Channel: channel, AggregateType: "Order", AggregateId: "a", CurrentVersion: 3,
		Expected: is("a", eventstorev1.Expectation_STATE_VERSION, 2)}
	if got := conflictOf(t, err); !googleproto.Equal(got, wantConflict) {
		t.Errorf("conflict %v, want %v", got, wantConflict)
	}
	if !strings.Contains(err.Error(), `aggregate "a" is at version 3`) {
		t.Errorf("conflict: %v", err)
	}
	stream, err = c.Read(patient(t), &eventstorev1.ReadRequest{Channel: "eventstore.none"})
	_, err = drain(stream, err)
	wantCode(t, "stream of an unknown channel", err, connect.CodeNotFound)
}

// TestJSON: makes the calls of docs/reference/api.md without a client library.
func TestJSON(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", databases.SQLite(t))
	post := func(method, body string) (status int, answer []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(patient(t), http.MethodPost, "http://"+address+"/eventstore.v1.EventStore/"+method, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if answer, err = io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: answer is %s", method, body, got)
		}
		return resp.StatusCode, answer
	}
	order := func(id string) string {
		return `{
			"channel": "eventstore.orders",
			"events": [{"eventId": "` + id + `", "eventType": "OrderCreated", "aggregateType": "Order", "aggregateId": "o1", "eventData": "eyJhbW91bnQiOjF9", "tags": ["customer:c-9", "shop", "shop"]}],
			"expectations": [{"aggregateType": "Order", "aggregateId": "o1", "state": "STATE_NONE"}]
		}`
	}
	for _, test := range []struct{ method, body, want string }{
		{"Append", order("1"), `{"events":[{"sequence":"1","eventVersion":"1","position":"1"}]}`},
		{"Append", order("1"), `{"events":[{"sequence":"1","eventVersion":"1","position":"1"}],"duplicate":true}`},
		{"GetEvent", `{"eventId": "1"}`, `"eventData":"eyJhbW91bnQiOjF9"`},
		{"GetEvent", `{"eventId": "1"}`, `"tags":["customer:c-9","shop"]`},
		{"ListChannels", `{}`, `"name":"eventstore.orders"`},
	} {
		status, answer := post(test.method, test.body)
		var compact bytes.Buffer // protobuf's JSON has random spaces
		if err := json.Compact(&compact, answer); err != nil || status != http.StatusOK || !strings.Contains(compact.String(), test.want) {
			t.Errorf("%s: %d %s %v, want %s", test.method, status, answer, err, test.want)
		}
	}

	// A misspelt name is refused, and nothing is stored: it would be an event without data, or an append without its expectation.
	for right, wrong := range map[string]string{"channel": "chanel", "eventData": "eventdata", "expectations": "expectation", "state": "State"} {
		status, answer := post("Append", strings.Replace(order("misspelt"), `"`+right+`"`, `"`+wrong+`"`, 1))
		if status != http.StatusBadRequest || !bytes.Contains(answer, []byte(`"invalid_argument"`)) || !bytes.Contains(answer, []byte(`unknown field \"`+wrong+`\"`)) {
			t.Errorf("%s for %s: %d %s", wrong, right, status, answer)
		}
		if status, answer := post("GetEvent", `{"eventId": "misspelt"}`); status != http.StatusNotFound {
			t.Errorf("%s for %s is stored: %d %s", wrong, right, status, answer)
		}
	}

	status, answer := post("Append", strings.Replace(order("2"), `"eyJhbW91bnQiOjF9"`, `{"amount": 1}`, 1))
	if status != http.StatusBadRequest || !bytes.Contains(answer, []byte("write the bytes as a string in base64")) {
		t.Errorf("data that is not base64: %d %s", status, answer)
	}
	for method, kinds := range map[string]map[string]string{
		"Append": {"application/x-www-form-urlencoded": "send -H 'Content-Type: application/json'", "": `Content-Type is "": send`},
		"Read":   {"application/json": "this method streams its answer"},
	} {
		for kind, want := range kinds {
			resp, err := http.Post("http://"+address+"/eventstore.v1.EventStore/"+method, kind, strings.NewReader(`{"channel": "eventstore.orders"}`))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !strings.Contains(string(text), want) || resp.Header.Get("Accept-Post") == "" {
				t.Errorf("%s as %q: %s %s %v", method, kind, resp.Status, text, err)
			}
		}
	}

	status, answer = post("Append", strings.Replace(order("2"), "eventstore.orders", "orders", 1))
	if status != http.StatusBadRequest || !bytes.Contains(answer, []byte("not an event channel: name one, or declare it")) {
		t.Errorf("a plain channel: %d %s", status, answer)
	}

	// detail posts an append that conflicts, and decodes the detail of the refusal.
	detail := func(body, says string, detail googleproto.Message) {
		t.Helper()
		status, answer := post("Append", body)
		var refused struct {
			Code    string
			Message string
			Details []struct{ Type, Value string }
		}
		if err := json.Unmarshal(answer, &refused); err != nil || status != http.StatusConflict || refused.Code != "aborted" ||
			!strings.Contains(refused.Message, says) || len(refused.Details) != 1 {
			t.Fatalf("conflict: %d %s %v", status, answer, err)
		}
		value, err := base64.RawStdEncoding.DecodeString(refused.Details[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		if err := googleproto.Unmarshal(value, detail); err != nil || refused.Details[0].Type != string(detail.ProtoReflect().Descriptor().FullName()) {
			t.Errorf("detail %s %v %v", refused.Details[0].Type, detail, err)
		}
	}
	version := &eventstorev1.VersionConflict{}
	detail(order("2"), `aggregate "o1" is at version 1`, version)
	if want := (&eventstorev1.VersionConflict{Channel: orders, AggregateType: "Order", AggregateId: "o1", CurrentVersion: 1,
		Expected: is("o1", eventstorev1.Expectation_STATE_NONE, 0)}); !googleproto.Equal(version, want) {
		t.Errorf("detail %v, want %v", version, want)
	}

	named := func(user, query, after string) string {
		return `{
			"channel": "eventstore.users",
			"events": [{"eventType": "NameTaken", "aggregateId": "` + user + `", "tags": ["name:ada"]}],
			"conditions": [{"query": ` + query + `, "afterPosition": ` + after + `}]
		}`
	}
	ada := `{"items": [{"eventTypes": ["NameTaken"], "tags": ["name:ada"]}]}`
	if status, answer := post("Append", named("user-1", ada, `0`)); status != http.StatusOK || !bytes.Contains(answer, []byte(`"position":"2"`)) {
		t.Errorf("a condition that holds: %d %s", status, answer)
	}
	condition := &eventstorev1.ConditionConflict{}
	detail(named("user-2", ada, `"1"`), `after position 1, the event at position 2 matches its query`, condition)
	if want := (&eventstorev1.ConditionConflict{Position: 2}); !googleproto.Equal(condition, want) {
		t.Errorf("detail %v, want %v", condition, want)
	}
	detail(named("user-2", `{}`, `1`), `the event at position 2 matches`, condition)
	for body, want := range map[string]string{
		named("user-2", `null`, `2`):                                 `condition 1 has no query: an empty one, {}, stands for every event`,
		named("user-2", ada, `3`):                                    `position 3 is beyond the last position, 2`,
		strings.Replace(named("user-2", ada, `2`), "tags", "tag", 2): `unknown field`,
	} {
		if status, answer := post("Append", body); status != http.StatusBadRequest || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
