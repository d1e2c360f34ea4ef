package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

const apiToken = "secret"

// call calls a method of the API with JSON, and returns the answer.
func (s *server) call(token, method, body string) string {
	s.t.Helper()
	address := regexp.MustCompile(`API listens on (\S+)`).FindStringSubmatch(s.Log.String())[1]
	return post(s.t, token, address+method, body)
}

// post sends JSON with a bearer token, and returns the answer.
func post(t testing.TB, token, url, body string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// Each refusal counts once, for its door and reason, in a series that was there with 0 before. It has a line in the log,
// with the client and the channel.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1", "-mc", "3", "-msu", "2", "-grpc_host", "127.0.0.1", "-grpc_port", "-1",
		"-grpc_token", apiToken, "-grpc_max_message", "100000", "-event_channels", "eventstore.>,other.>")
	nc := wire.Dial(t, s.URL())
	cl := nc.Register("client")
	sc := s.connect("publisher")
	publish(t, sc, orders, event(t, "A", "T", withID("1")))
	publish(t, sc, "plain", []byte("x"))
	if _, err := sc.Subscribe("plain", func(*stan.Msg) {}, stan.DurableName("d")); err != nil {
		t.Fatal(err)
	}
	cl.Sub("plain", wire.Durable("d"))
	cl.Sub("third", wire.Durable("d"))

	garbage := func(subject string) func() string {
		return func() string {
			answer, err := nc.Request(subject, []byte{0xff}, patience)
			if err != nil {
				t.Fatal(err)
			}
			return string(answer.Data)
		}
	}
	tryPublish := func(channel string, payload []byte) func() string {
		return func() string {
			return cl.Publish(&pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Subject: channel, Data: payload})
		}
	}
	trySub := func(channel string, opts ...wire.Option) func() string {
		return func() string { return nc.Subscribe(cl.NewRequest(channel, opts...)).Error }
	}
	call := func(method, body string) func() string {
		return func() string { return s.call(apiToken, method, body) }
	}
	const (
		v1        = "/eventstore.v1.EventStore/"
		older     = "/eventstore.EventStore/"
		valid     = `"aggregateId":"A","aggregateType":"Order","eventType":"T","eventData":"e30="`
		fromLocal = `client=127.0.0.1`
	)
	for _, it := range []struct {
		operation, kind, who string // as in the log
		refused              func() string
		method, code         string // of a request of the API
	}{
		{"connect", "invalid_request", `client=x channel=""`, func() string { return nc.Connect(&pb.ConnectRequest{ClientID: "x"}).Error }, "", ""},
		{"connect", "client_registered", `client=client channel=""`, func() string { return nc.Connect(cl.Request()).Error }, "", ""},
		{"ping", "client_replaced", `client="" channel=""`, func() string { return nc.Ping("unknown") }, "", ""},
		{"close", "unknown_client", `client=nobody channel=""`, func() string { return nc.CloseClient("nobody") }, "", ""},
		{"close", "invalid_request", `client="" channel=""`, garbage(wire.Close), "", ""},

		{"publish", "invalid_request", `client=nobody channel=c`, func() string { return nc.Publish(&pb.PubMsg{ClientID: "nobody", Subject: "c"}) }, "", ""},
		{"publish", "subject_mismatch", `client=client channel=c`, func() string {
			var ack pb.PubAck
			m := &pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: "g", Subject: "c"}
			nc.Ask(wire.Publish+".d", wire.Encode(t, m), &ack, patience)
			return ack.Error
		}, "", ""},
		{"publish", "invalid_event", `client=client channel=eventstore.orders`, tryPublish(orders, []byte("no event")), "", ""},
		{"publish", "wrong_version", `client=client channel=eventstore.orders`, tryPublish(orders, event(t, "A", "T", withVersion(7))), "", ""},
		{"publish", "duplicate_event", `client=client channel=eventstore.orders`, tryPublish(orders, event(t, "A", "T", withID("1"), withData("other"))), "", ""},
		{"publish", "too_large", `client=client channel=plain`, func() string { // with a shorter GUID than libraries have, and no connection ID
			var ack pb.PubAck
			m := &pb.PubMsg{ClientID: cl.ID, Guid: "g", Subject: "plain", Data: make([]byte, 1<<20-40)}
			nc.Ask(wire.Publish+".plain", wire.Encode(t, m), &ack, patience)
			return ack.Error
		}, "", ""},
		{"publish", "limit", `client=client channel=fourth`, tryPublish("fourth", nil), "", ""},

		{"subscription", "invalid_request", `client=client channel=a..b`, trySub("a..b"), "", ""},
		{"subscription", "invalid_request", `client="" channel=""`, garbage(wire.Subscribe), "", ""},
		{"subscription", "invalid_request", `client="" channel=""`, garbage(wire.Unsubscribe), "", ""},
		{"subscription", "unknown_client", `client=nobody channel=plain`, func() string {
			r := cl.NewRequest("plain")
			r.ClientID = "nobody"
			return nc.Subscribe(r).Error
		}, "", ""},
		{"subscription", "limit", `client=client channel=plain`, trySub("plain"), "", ""},
		{"subscription", "duplicate_durable", `client=client channel=third`, trySub("third", wire.Durable("d")), "", ""},
		{"subscription", "unknown_subscription", `client=client channel=plain`, func() string {
			return nc.End(wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: "plain", Inbox: "unknown"})
		}, "", ""},

		{"append", "invalid_request", fromLocal + ` channel=eventstore.orders`, call(v1+"Append", `{"channel":"eventstore.orders"}`), v1 + "Append", "invalid_argument"},
		{"append", "invalid_request", fromLocal + ` channel=a..b`, call(v1+"Append", `{"channel":"a..b","events":[{`+valid+`}]}`), v1 + "Append", "invalid_argument"},
		{"append", "invalid_request", fromLocal + ` channel=""`, call(v1+"Append", `{"channel":`), v1 + "Append", "invalid_argument"},
		{"append", "invalid_event", fromLocal + ` channel=eventstore.orders`, call(v1+"Append", `{"channel":"eventstore.orders","events":[{}]}`), v1 + "Append", "invalid_argument"},
		{"append", "wrong_version", fromLocal + ` channel=eventstore.orders`,
			call(v1+"Append", `{"channel":"eventstore.orders","events":[{`+valid+`,"eventVersion":"7"},{`+valid+`}]}`), v1 + "Append", "aborted"},
		{"append", "duplicate_event", fromLocal + ` channel=eventstore.orders`,
			call(v1+"Append", `{"channel":"eventstore.orders","events":[{`+valid+`,"eventId":"1"}]}`), v1 + "Append", "already_exists"},
		{"append", "limit", fromLocal + ` channel=eventstore.fourth`,
			call(v1+"Append", `{"channel":"eventstore.fourth","events":[{`+valid+`}]}`), v1 + "Append", "failed_precondition"},
		{"append", "not_event_channel", fromLocal + ` channel=plain`, call(v1+"Append", `{"channel":"plain","events":[{`+valid+`}]}`), v1 + "Append", "failed_precondition"},
		{"append", "unauthenticated", fromLocal + ` channel=""`, func() string { return s.call("guess", v1+"Append", "{}") }, v1 + "Append", "unauthenticated"},
		{"append", "invalid_event", fromLocal + ` channel=eventstore.orders`, call(older+"CreateEvent", `{"event":{"stream":"eventstore.orders"}}`), older + "CreateEvent", "invalid_argument"},
		{"append", "not_event_channel", fromLocal + ` channel=plain`, call(v1+"Append", `{"channel":"plain","events":[{`+valid+`}]}`), v1 + "Append", "failed_precondition"},

		{"read", "invalid_request", fromLocal + ` channel=eventstore.orders`, call(v1+"GetEvent", `{"channel":"eventstore.orders"}`), v1 + "GetEvent", "invalid_argument"},
		{"read", "unknown_channel", fromLocal + ` channel=eventstore.none`,
			call(v1+"GetEvent", `{"channel":"eventstore.none","sequence":"1"}`), v1 + "GetEvent", "not_found"},
		{"read", "not_event_channel", fromLocal + ` channel=plain`, call(v1+"GetEvent", `{"channel":"plain","sequence":"1"}`), v1 + "GetEvent", "failed_precondition"},
		{"read", "unauthenticated", fromLocal + ` channel=""`, func() string { return s.call("", v1+"ListChannels", "{}") }, v1 + "ListChannels", "unauthenticated"},
		{"request", "unauthenticated", fromLocal + ` channel=""`, func() string { return s.call("", "/nothing", "{}") }, "", ""},
	} {
		series := fmt.Sprintf(`nats_streaming_errors_total{kind=%q,operation=%q}`, it.kind, it.operation)
		requests := fmt.Sprintf(`nats_streaming_api_requests_total{code=%q,method=%q}`, it.code, strings.TrimPrefix(it.method, "/"))
		before := s.metrics()
		for _, name := range []string{series, requests} {
			if _, ok := before[name]; !ok && (name == series || it.method != "") {
				t.Errorf("no series %s before the first refusal", name)
			}
		}
		if it.refused() == "" {
			t.Errorf("%s was not refused with %s", it.operation, it.kind)
			continue
		}
		var after metrics
		eventually(t, func() bool {
			after = s.metrics()
			return after[series] == before[series]+1 && (it.method == "" || after[requests] == before[requests]+1)
		})
		for name, v := range after {
			if strings.HasPrefix(name, "nats_streaming_errors_total{") && name != series && v != before[name] {
				t.Errorf("%s %s: also counted as %s", it.operation, it.kind, name)
			}
		}
	}
	log := s.Log.String()
	shown := page.Find(t, page.Own(t, "docs/operate/monitoring.md"), "text", "")
	if !slices.ContainsFunc(strings.Split(log, "\n"), shown.Matches) {
		t.Errorf("the log has no line like %s", shown.Text())
	}
	for _, line := range []string{
		`[WRN] STREAM: Request refused operation=connect reason=client_registered client=client channel="" error="stan: clientID already registered"`,
		`[WRN] STREAM: Request refused operation=publish reason=wrong_version client=client channel=eventstore.orders error=`,
		`[WRN] STREAM: Request refused operation=subscription reason=unknown_client client=nobody channel=plain error=`,
		`[WRN] STREAM: Request refused operation=append reason=duplicate_event client=127.0.0.1 channel=eventstore.orders error=`,
		`[WRN] STREAM: Request refused operation=read reason=unknown_channel client=127.0.0.1 channel=eventstore.none error=`,
	} {
		if strings.Count(log, line) != 1 {
			t.Errorf("the log has the line %d times, not once: %s", strings.Count(log, line), line)
		}
	}
}

// A client that tries again and again has one line for each reason at first, and the number of the others later.
func TestRepeatedRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	sc := s.connect("client")
	const n = 50
	for range n {
		if err := sc.Publish(orders, []byte("no event")); err == nil {
			t.Fatal("an invalid event was stored")
		}
	}
	s.metrics().check(t, map[string]float64{`errors_total{kind="invalid_event",operation="publish"}`: n})
	if got := strings.Count(s.Log.String(), "refused operation=publish"); got != 1 {
		t.Errorf("%d lines about refusals", got)
	}
	s.Stop()
	if line := fmt.Sprintf("operation=publish reason=invalid_event client=client channel=%s", orders); !regexp.MustCompile(line + fmt.Sprintf(` error=".*" count=%d\n`, n-1)).MatchString(s.Log.String()) {
		t.Errorf("no line at the end about the other refusals:\n%s", s.Log)
	}
}

// A principal of the API without a right is refused by its name.
func TestRefusalOfPrincipal(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.conf")
	principals := fmt.Sprintf(`principals: [ { name: billing, tokens: ["sha256:%x"], append: ["eventstore.billing.>"] } ]`, sha256.Sum256([]byte(apiToken)))
	if err := os.WriteFile(file, []byte(principals), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1", "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-access_file", file)
	series := `errors_total{kind="permissions",operation="read"}`
	if v, ok := s.metrics()["nats_streaming_"+series]; !ok || v != 0 {
		t.Errorf("%s does not begin with 0", series)
	}
	s.call(apiToken, "/eventstore.v1.EventStore/GetEvent", `{"channel":"eventstore.orders","sequence":"1"}`)
	s.WaitLog(t, `Request refused operation=read reason=permissions client=billing channel=eventstore.orders error=`)
	s.metrics().check(t, map[string]float64{
		series: 1,
		`api_requests_total{code="permission_denied",method="eventstore.v1.EventStore/GetEvent"}`: 1,
	})
}
