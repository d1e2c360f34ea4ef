// Package console_test uses the console of the built server in a real browser, while events arrive and servers fail.
package console_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.MainPlain(m, stopChromium) }

// server is a server with the address of its API.
type server struct {
	*harness.Server
	url   string // of the API
	token string
}

// start starts a server with a console. Its API asks for the token that the arguments name, if any.
func start(t *testing.T, driver, source string, args ...string) *server {
	t.Helper()
	s := launch(t, driver, source, args...)
	s.Ready()
	return s
}

// launch is start without waiting.
func launch(t *testing.T, driver, source string, args ...string) *server {
	t.Helper()
	return launchOn(t, freePort(t), driver, source, args...)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// launchOn is launch with the port of the API.
func launchOn(t *testing.T, port int, driver, source string, args ...string) *server {
	t.Helper()
	// A machine that is busy with other tests must not look like an unavailable database.
	s := &server{
		Server: harness.New(t, harness.Binary(), append([]string{
			"-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port),
		}, args...)...),
		url: fmt.Sprintf("http://127.0.0.1:%d", port),
	}
	s.Launch()
	return s
}

// eachDatabase runs a test on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, test func(t *testing.T, driver, source string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite", databases.SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, "postgres", databases.Postgres(t))
	})
}

type object = map[string]any

// call calls a method of the API and returns its answer.
func (s *server) call(t *testing.T, method string, request object) object {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/eventstore.v1."+method, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", method, resp.Status, text)
	}
	var answer object
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// store appends events of one channel. data is JSON, of which the API wants the bytes.
func (s *server) store(t *testing.T, channel string, events ...object) {
	t.Helper()
	for _, e := range events {
		if data, ok := e["eventData"].(string); ok {
			e["eventData"] = base64.StdEncoding.EncodeToString([]byte(data))
		}
	}
	s.call(t, "EventStore/Append", object{"channel": channel, "events": events})
}

// order is an event of an order.
func order(id, kind, data string) object {
	return object{"eventType": kind, "aggregateType": "Order", "aggregateId": id, "eventData": data}
}

// inCI reports whether nothing may be missing.
func inCI() bool { return os.Getenv("CI") != "" }
