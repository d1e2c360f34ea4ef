// Package personal_test encrypts fields of events on the built server, and deletes the keys of people.
package personal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The channels of the configuration below.
const (
	channel = "eventstore.customers" // eventstore.v1.Event; subscribers get what is stored
	people  = "people.eu"            // JSON; subscribers get it decrypted
	copies  = "copies"               // of channel
	visits  = "open.visits"          // eventstore.v1.Event, without encryption
	visited = "visited"              // copies of visits
)

const configuration = `streaming {
	keys { master: "file:%s", driver: %s, source: "%s" }
	events [
		{ channels: ["open.>"] }
		{ channels: ["eventstore.>"], encrypt: { subject: "$.customer_id", fields: ["$.name", "$.contact.email"] } }
		{ channels: ["cloud.>"], format: cloudevents, plain_subscribers: true, encrypt: { subject: "$.data.customer", fields: ["$.data.name"] } }
		{ channels: ["orders.>"], descriptor_set: "%s", message: "acme.orders.v1.OrderEvent", aggregate_id: header.order_id, event_type: "oneof:event"
		  event_id: header.event_id, event_data: "oneof:event", event_version: version, plain_subscribers: true
		  encrypt: { subject: header.order_id, fields: [order_placed.customer_id, order_shipped.carrier, order_shipped.label] } }
		{ channels: ["people.>"], format: json, aggregate_id: "$.id", event_type: "$.type", event_id: "$.event", event_data: "$"
		  encrypt: [{ subject: "$.id", fields: ["$.name"] }, { subject: "$.agent", fields: ["$.agent_phone"] }], plain_subscribers: true }
	]
	routes [ { from: ["eventstore.customers"], channel: copies }, { from: ["open.visits"], channel: visited }%s ]
}`

// house is a server whose events have encrypted fields.
type house struct {
	*harness.Server
	address        string
	driver, source string // of the events
	keys           string // the source of the keys
	master         string // the file of the master key
	access         string // the access file
	conf           string // the configuration file of the last server
}

// start runs a server with keys in a database of its own, of the same kind.
func start(t testing.TB, driver, source string, args ...string) *house {
	t.Helper()
	keys := map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[driver](t)
	h := &house{driver: driver, source: source, keys: keys, master: filepath.Join(t.TempDir(), "master.key"), access: filepath.Join(t.TempDir(), "access.conf")}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	write(t, h.master, base64.StdEncoding.EncodeToString(key)+"\n")
	write(t, h.access, "principals: [\n"+
		principal("writer", `append: [">"]`)+
		principal("reader", `read: [">"]`)+
		principal("clerk", `read: [">"], consume: [">"], personal: [">"]`)+
		principal("admin", `admin: [">"]`)+"]\n")
	h.run(t, args...)
	return h
}

// run starts a server of the house, which may be a further one.
func (h *house) run(t testing.TB, args ...string) {
	t.Helper()
	h.Server, h.address = h.launch(t, args...)
	h.Ready()
}

func (h *house) launch(t testing.TB, args ...string) (*harness.Server, string) {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	h.conf = filepath.Join(t.TempDir(), "server.conf")
	streams := ""
	if slices.Contains(args, "-js") {
		streams = `, { from: ["eventstore.customers", "open.visits"], stream: CUSTOMERS, subject: "CUSTOMERS.{event_type}" }`
	}
	set, err := filepath.Abs("../../proto/testdata/acme.binpb")
	if err != nil {
		t.Fatal(err)
	}
	write(t, h.conf, fmt.Sprintf(configuration, h.master, h.driver, h.keys, set, streams))
	// A machine that is busy with other tests must not look like an unavailable database.
	s := harness.New(t, harness.Binary(), append([]string{"-store", "SQL", "-sql_driver", h.driver, "-sql_source", h.source, "-c", h.conf, "-store_timeout", "20s",
		"-access_file", h.access, "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)}, args...)...)
	s.Launch()
	return s, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func principal(name, rights string) string {
	return fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// bearer sends a token.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(req)
}

func transport(t testing.TB, token string) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: bearer{tr, token}}
}

type client = eventstorev1connect.EventStoreClient

// as returns a client for a principal whose token is its name.
func (h *house) as(t testing.TB, who string) client {
	return eventstorev1connect.NewEventStoreClient(transport(t, who), "http://"+h.address, connect.WithGRPC())
}

func (h *house) admin(t testing.TB) eventstorev1connect.AdminClient {
	return eventstorev1connect.NewAdminClient(transport(t, "admin"), "http://"+h.address, connect.WithGRPC())
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

func event(id, customer, name string) *eventstorev1.Event {
	return &eventstorev1.Event{
		EventId: id, EventType: "Registered", AggregateType: "Customer", AggregateId: customer,
		EventData: []byte(dataOf(customer, name)),
	}
}

func dataOf(customer, name string) string {
	return fmt.Sprintf(`{"customer_id":%q,"city":"Oslo","name":%q,"contact":{"email":"%s@example.org"}}`, customer, name, strings.ToLower(name))
}

func appendTo(t testing.TB, c client, on string, events ...*eventstorev1.Event) (*eventstorev1.AppendResponse, error) {
	t.Helper()
	return c.Append(patient(t), &eventstorev1.AppendRequest{Channel: on, Events: events})
}

func mustAppend(t testing.TB, c client, on string, events ...*eventstorev1.Event) *eventstorev1.AppendResponse {
	t.Helper()
	resp, err := appendTo(t, c, on, events...)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// read returns the data of the event at a sequence by every method that returns it. They must agree.
func read(t testing.TB, c client, on string, sequence uint64) string {
	t.Helper()
	got := map[string]string{}
	one, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: on, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: sequence}})
	if err != nil {
		t.Fatal(err)
	}
	e := one.GetEvent().GetEvent()
	want := string(e.GetEventData())
	byID, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: on, Key: &eventstorev1.GetEventRequest_EventId{EventId: e.GetEventId()}})
	if err != nil {
		t.Fatal(err)
	}
	got["by ID"] = string(byID.GetEvent().GetEvent().GetEventData())
	channelRead, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: on, Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: sequence}, Limit: 1})
	got["channel"] = only(t, channelRead, err, (*eventstorev1.ReadResponse).GetEvents)
	queried, err := c.Read(patient(t), &eventstorev1.ReadRequest{
		Query: &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Channels: []string{on}}}}, Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: one.GetEvent().GetPosition()}, Limit: 1,
	})
	got["query"] = only(t, queried, err, (*eventstorev1.ReadResponse).GetEvents)
	aggregate, err := c.ReadAggregate(patient(t), &eventstorev1.ReadAggregateRequest{
		Channel: on, AggregateType: e.GetAggregateType(), AggregateId: e.GetAggregateId(), FromVersion: e.GetEventVersion(), Limit: 1,
	})
	got["aggregate"] = only(t, aggregate, err, (*eventstorev1.ReadAggregateResponse).GetEvents)
	for how, data := range got {
		if data != want {
			t.Errorf("read by %s: %s, want %s", how, data, want)
		}
	}
	return want
}

func only[T any](t testing.TB, stream *connect.ServerStreamForClient[T], err error, events func(*T) []*eventstorev1.RecordedEvent) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		for _, e := range events(stream.Msg()) {
			return string(e.GetEvent().GetEventData())
		}
	}
	t.Fatalf("no event: %v", stream.Err())
	return ""
}

// isSealed reports whether data shows that fields are encrypted, and none of the texts.
func isSealed(data string, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(data, text) {
			return false
		}
	}
	return strings.Contains(data, `{"$sealed":"`)
}

// connect connects a client of NATS Streaming.
func (h *house) connect(t testing.TB, id string) (*nats.Conn, stan.Conn) {
	t.Helper()
	nc, err := nats.Connect(h.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sc, err := stan.Connect("test-cluster", id, stan.NatsConn(nc), stan.ConnectWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return nc, sc
}

// received returns the first n messages of a channel, as a subscriber of NATS Streaming gets them.
func received(t testing.TB, sc stan.Conn, on string, n int) []string {
	t.Helper()
	in := make(chan *stan.Msg, 1000)
	sub, err := sc.Subscribe(on, func(m *stan.Msg) { in <- m }, stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	var all []string
	for len(all) < n {
		select {
		case m := <-in:
			all = append(all, string(m.Data))
		case <-time.After(harness.Patience):
			t.Fatalf("%d messages of %d", len(all), n)
		}
	}
	return all
}

// column returns the values of a query, as texts.
func column(t testing.TB, driver, source, text string) []string {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v []byte
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, string(v))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// wantNoFile fails if a file below a folder contains a text.
func wantNoFile(t testing.TB, folder string, texts ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				t.Errorf("%s contains %q", filepath.Base(path), text)
			}
		}
		files++
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files: %v", files, err)
	}
}
