package test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/examples/guide"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Commands that race for an account are all decided on its current state, and each is executed once.
func TestGuideCommands(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		bank := &guide.Bank{DB: guideDB(t, driver, source), Conn: guideConn(t, s, "bank")}
		ctx := t.Context()
		err := bank.Execute(ctx, "open-1", "alice", (*guide.Account).Open)
		if err == nil {
			err = bank.Execute(ctx, "pay-1", "alice", func(a *guide.Account) (*eventstorev1.Event, error) {
				return a.Deposit(1000)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := bank.Execute(ctx, "open-2", "alice", (*guide.Account).Open); !errors.Is(err, guide.ErrExists) {
			t.Errorf("open twice: error %v", err)
		}
		if err := bank.Execute(ctx, "pay-2", "bob", deposit(1)); !errors.Is(err, guide.ErrNoAccount) {
			t.Errorf("deposit without an account: error %v", err)
		}

		// A concurrent event makes the first decision fail, so the command is decided again.
		var seen []int64
		err = bank.Execute(ctx, "pay-3", "alice", func(a *guide.Account) (*eventstorev1.Event, error) {
			seen = append(seen, a.Cents)
			if len(seen) == 1 {
				if err := bank.Execute(ctx, "withdraw-1", "alice", withdraw(200)); err != nil {
					return nil, err
				}
			}
			return a.Deposit(10)
		})
		if err != nil || !slices.Equal(seen, []int64{1000, 800}) {
			t.Errorf("decided on balances %v, error %v", seen, err)
		}

		// Here, too, but the concurrent event comes from the same command, executed by another process.
		calls := 0
		err = bank.Execute(ctx, "pay-4", "alice", func(a *guide.Account) (*eventstorev1.Event, error) {
			calls++
			err := bank.Execute(ctx, "withdraw-2", "alice", withdraw(10))
			if err == nil {
				err = bank.Execute(ctx, "pay-4", "alice", deposit(10))
			}
			if err != nil {
				return nil, err
			}
			return a.Deposit(10)
		})
		if err != nil || calls != 1 {
			t.Errorf("decided %d times, error %v", calls, err)
		}

		// Twelve commands withdraw 100 each from 810, each executed by two processes at once. Eight of them succeed.
		const commands = 12
		var wg sync.WaitGroup
		var results [2][commands]error
		for executor := range results {
			for c := range commands {
				other := &guide.Bank{DB: bank.DB, Conn: guideConn(t, s, fmt.Sprintf("bank-%d-%d", executor, c))}
				wg.Go(func() {
					results[executor][c] = other.Execute(ctx, fmt.Sprintf("race-%d", c), "alice", withdraw(100))
				})
			}
		}
		wg.Wait()
		done := 0
		for c := range commands {
			switch one, two := results[0][c], results[1][c]; {
			case one == nil && two == nil:
				done++
			case !errors.Is(one, guide.ErrInsufficientFunds) || !errors.Is(two, guide.ErrInsufficientFunds):
				t.Errorf("command %d: errors %v and %v", c, one, two)
			}
		}
		alice, err := guide.Load(ctx, bank.DB, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if done != 8 || alice.Cents != 10 || alice.Version != 14 {
			t.Errorf("%d commands succeeded, %d cents, version %d", done, alice.Cents, alice.Version)
		}
		contiguous(t, driver, source, guide.Channel, 14)
	})
}

// An event published again after a missing answer is stored once.
func TestGuidePublishesAgain(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client", stan.PubAckWait(300*time.Millisecond), stan.Pings(5, 100))
		publish := func(id string, end, begin func()) {
			t.Helper()
			unanswered := make(chan error, 1)
			failed := make(chan error, 1)
			end()
			go func() {
				failed <- guide.Publish(t.Context(), observed{sc, unanswered}, &eventstorev1.Event{
					EventId: id, EventType: "AccountOpened", AggregateId: id, AggregateType: "Account", EventVersion: 1})
			}()
			select {
			case err := <-unanswered:
				t.Logf("%s: %v", id, err)
			case <-time.After(patience):
				t.Error("no publish failed")
			}
			begin()
			if err := <-failed; err != nil {
				t.Errorf("publish %s: %v", id, err)
			}
		}
		// The server answers too slowly and receives the event several times.
		ok := func(do func() error) func() {
			return func() {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		}
		publish("slow", ok(s.Process.Pause), ok(s.Process.Resume))
		publish("away", s.Kill, s.Restart)
		contiguous(t, driver, source, guide.Channel, 2)
		err := guide.Publish(t.Context(), sc, &eventstorev1.Event{EventId: "refused", EventType: "AccountOpened"})
		if err == nil || !strings.Contains(err.Error(), "aggregate_id is missing") {
			t.Errorf("a refused publish: error %v", err)
		}
	})
}

// observed is a connection that reports its first failed publish.
type observed struct {
	stan.Conn
	failed chan<- error
}

func (o observed) Publish(channel string, payload []byte) error {
	err := o.Conn.Publish(channel, payload)
	if err != nil {
		select {
		case o.failed <- err:
		default:
		}
	}
	return err
}

// guideConn connects as the guide does.
func guideConn(t *testing.T, s *server, clientID string) stan.Conn {
	t.Helper()
	_, sc, err := guide.Connect(t.Context(), s.URL(), clientID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sc.Close() })
	return sc
}

func deposit(cents int64) func(*guide.Account) (*eventstorev1.Event, error) {
	return func(a *guide.Account) (*eventstorev1.Event, error) { return a.Deposit(cents) }
}

func withdraw(cents int64) func(*guide.Account) (*eventstorev1.Event, error) {
	return func(a *guide.Account) (*eventstorev1.Event, error) { return a.Withdraw(cents) }
}

// guideDB opens a database. The guide writes parameters as $1, as PostgreSQL and SQLite do; MySQL gets question marks.
func guideDB(t *testing.T, name, source string) *sql.DB {
	t.Helper()
	var db *sql.DB
	var err error
	switch name {
	case "mysql":
		var config *mysql.Config
		var connector driver.Connector
		if config, err = mysql.ParseDSN(source); err == nil {
			connector, err = mysql.NewConnector(config)
		}
		db = sql.OpenDB(questionMarks{connector})
	case "sqlite":
		db, err = sql.Open(name, source+"?_pragma=busy_timeout(10000)")
	default:
		db, err = sql.Open(name, source)
	}
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// questionMarks opens connections that replace $1, $2, … with question marks.
type questionMarks struct{ driver.Connector }

func (c questionMarks) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return questionMarksConn{conn}, err
}

type questionMarksConn struct{ driver.Conn }

var dollar = regexp.MustCompile(`\$\d+`)

func (c questionMarksConn) PrepareContext(ctx context.Context, statement string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, dollar.ReplaceAllString(statement, "?"))
}

func (c questionMarksConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}
