// Package admin_test administers the built server by HTTP and JSON, as curl does, while unmodified clients of NATS Streaming use it.
package admin_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// server is a server with the address of its API.
type server struct {
	*harness.Server
	address string
	token   string // of administrators; may be empty
	host    string // header; empty: that of the address
}

func start(t *testing.T, driver, source string, args ...string) *server {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests must not look like an unavailable database.
	args = append([]string{"-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)}, args...)
	return &server{Server: harness.Start(t, driver, source, args...), address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
}

// m is a JSON object.
type m = map[string]any

// call calls a method and returns the status and the answer. An error means that there was none.
func (s *server) call(ctx context.Context, method string, request m) (status int, answer m, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/eventstore.v1."+method, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if s.host != "" {
		req.Host = s.host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	return resp.StatusCode, answer, err
}

// do calls a method of eventstore.v1.Admin, which must succeed.
func (s *server) do(t *testing.T, method string, request m) m {
	t.Helper()
	status, answer, err := s.call(patient(t), "Admin/"+method, request)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %v: %d %v %v", method, request, status, answer, err)
	}
	return answer
}

// refused calls a method, which must fail with a code and a text.
func (s *server) refused(t *testing.T, method string, request m, code, text string) {
	t.Helper()
	_, answer, err := s.call(patient(t), "Admin/"+method, request)
	if err != nil || answer["code"] != code || !strings.Contains(answer["message"].(string), text) {
		t.Errorf("%s %v: %v %v, want %s: %s", method, request, answer, err, code, text)
	}
}

// consumer returns a consumer as it is described.
func (s *server) consumer(t *testing.T, name m) m {
	t.Helper()
	return s.do(t, "GetConsumer", name)["consumer"].(m)
}

// until waits until a consumer's field has a value.
func (s *server) until(t *testing.T, name m, field string, want any) {
	t.Helper()
	ctx := patient(t)
	for {
		_, answer, err := s.call(ctx, "Admin/GetConsumer", name)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := answer["consumer"].(m)
		if c[field] == want {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%v: %s is %v, want %v: %v", name, field, c[field], want, answer)
		}
	}
}

// append appends events, each with its own aggregate and event_id.
func (s *server) append(t *testing.T, channel string, ids ...string) {
	t.Helper()
	var events []m
	for _, id := range ids {
		events = append(events, m{"eventId": id, "eventType": "OrderPlaced", "aggregateType": "Order", "aggregateId": "o" + strings.TrimPrefix(id, "e")})
	}
	if status, answer, err := s.call(patient(t), "EventStore/Append", m{"channel": channel, "events": events}); err != nil || status != http.StatusOK {
		t.Fatalf("append: %v %v", answer, err)
	}
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

// connect connects a client of NATS Streaming, which is closed when the test ends.
func (s *server) connect(t *testing.T, id string, options ...stan.Option) stan.Conn {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sc, err := stan.Connect("test-cluster", id, append([]stan.Option{stan.NatsConn(nc), stan.ConnectWait(harness.Patience)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// inbox is what a subscription receives.
type inbox chan *stan.Msg

func (in inbox) next(t *testing.T) *stan.Msg {
	t.Helper()
	select {
	case msg := <-in:
		return msg
	case <-time.After(harness.Patience):
		t.Fatal("no message")
		return nil
	}
}

// sequences takes messages, acknowledges them, and wants their sequences.
func (in inbox) sequences(t *testing.T, want ...uint64) {
	t.Helper()
	for _, seq := range want {
		msg := in.next(t)
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
		if msg.Sequence != seq {
			t.Fatalf("got message %d, want %d", msg.Sequence, seq)
		}
	}
}

// work subscribes to a queue group whose messages the test acknowledges.
func work(t *testing.T, sc stan.Conn, channel, group string, options ...stan.SubscriptionOption) (stan.Subscription, inbox) {
	t.Helper()
	in := make(inbox, 10_000)
	options = append([]stan.SubscriptionOption{stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.MaxInflight(1)}, options...)
	sub, err := sc.QueueSubscribe(channel, group, func(msg *stan.Msg) { in <- msg }, options...)
	if err != nil {
		t.Fatal(err)
	}
	return sub, in
}

// open returns a database, which is closed when the test ends.
func open(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	if driver == "sqlite" {
		source += "?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// query returns one row of texts.
func query(t *testing.T, driver, source, text string) []string {
	t.Helper()
	db := open(t, driver, source)
	defer db.Close()
	rows, err := db.QueryContext(patient(t), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("%s: no row: %v, %v", text, err, rows.Err())
	}
	row, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range row {
		to[i] = &row[i]
	}
	if err := rows.Scan(to...); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, v := range row {
		texts = append(texts, v.String)
	}
	return texts
}

// configuration writes a configuration file of the streaming part.
func configuration(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte("streaming {\n"+text+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
