// Package client tests the Go library against the built server on each database.
package client

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers of the read models' databases
	_ "github.com/lib/pq"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.MainPlain(m) }

const channel = "eventstore.accounts"

// The events of an account and the state that they add up to.
type (
	opened    struct{ Owner string }
	deposited struct{ Cents int64 }
	account   struct {
		Owner string
		Cents int64
		Count int // number of deposits
	}
)

func registry() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[opened](r, "AccountOpened")
	eventstore.Register[deposited](r, "Deposited")
	return r
}

func apply(a account, e *eventstore.Event) account {
	switch data := e.Data.(type) {
	case opened:
		a.Owner = data.Owner
	case deposited:
		a.Cents += data.Cents
		a.Count++
	}
	return a
}

// server is a running server with its API.
type server struct {
	*harness.Server
	t      *testing.T
	driver string
	source string
}

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	databases.Each(t, func(t *testing.T, driver, source string) {
		test(t, &server{harness.Start(t, driver, source, "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, driver, source})
	})
}

// one runs a test without a read model on one database, which depends on its name: all databases have some, and test/api has the
// server's calls on each.
func one(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	driver := []string{"sqlite", "postgres", "mysql"}[len(t.Name())%3]
	source := map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[driver](t)
	test(t, &server{harness.Start(t, driver, source, "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, driver, source})
}

var listens = regexp.MustCompile(`API listens on (\S+)`)

func (s *server) api() string { return listens.FindStringSubmatch(s.Log.String())[1] }

func (s *server) client() *eventstore.Client {
	s.t.Helper()
	c, err := eventstore.New(eventstore.Options{URLs: []string{s.api()}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func (s *server) accounts() *eventstore.Repository[account] {
	s.t.Helper()
	return &eventstore.Repository[account]{Client: s.client(), Channel: channel, AggregateType: "Account", Registry: registry(), Apply: apply}
}

func (s *server) stan(id string) stan.Conn {
	s.t.Helper()
	sc, err := stan.Connect("test-cluster", id, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = sc.Close() })
	return sc
}

// readModel opens a separate database of the same kind as the server's.
func (s *server) readModel() (*sql.DB, eventstore.Dialect) {
	s.t.Helper()
	driver, source := s.driver, ""
	switch driver {
	case "postgres":
		source = databases.Postgres(s.t)
	case "mysql":
		source = databases.MySQL(s.t)
	default:
		source = "file:" + filepath.Join(s.t.TempDir(), "view.db") + "?_txlock=immediate&_pragma=busy_timeout(10000)"
	}
	dialect, err := eventstore.ParseDialect(driver)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db, dialect
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

// deposit opens an account and deposits 1, 2, … n cents.
func (s *server) deposit(accounts *eventstore.Repository[account], id string, n int) {
	s.t.Helper()
	events := []any{opened{"Ada"}}
	for i := range n {
		events = append(events, deposited{int64(i + 1)})
	}
	if _, err := accounts.Execute(patient(s.t), id, func(account, uint64) ([]any, error) { return events, nil }); err != nil {
		s.t.Fatal(err)
	}
}

// total describes an account with deposits of 1 to n cents: the number of events and the balance.
func total(n int) string { return fmt.Sprintf("%d events, %d cents", n+1, n*(n+1)/2) }

// eventually polls until the answer is the wanted one.
func eventually(t *testing.T, want string, ask func() string) {
	t.Helper()
	got := ask()
	for deadline := time.Now().Add(harness.Patience); got != want && time.Now().Before(deadline); got = ask() {
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	if got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}
