package stores_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestAnswersOfEngines replays the errors that CockroachDB, YugabyteDB, Galera and servers in shutdown or overload
// return at a statement or at COMMIT. The store retries and stores each message once, whether or not the work was done
// before the answer.
func TestAnswersOfEngines(t *testing.T) {
	t.Parallel()
	answers := map[string]map[string]error{"postgres": {}, "mysql": {}}
	for code, what := range map[string]string{
		"40001": "serialization failure; restart transaction; schema version mismatch",
		"40P01": "deadlock",
		"55P03": "lock not available",
		"40003": "result is ambiguous",
		"XX000": "internal error; schema version mismatch of older versions",
		"XXUUU": "an error without a code",
		"57P01": "the server is shut down",
		"57P03": "the server starts",
		"57014": "statement timeout",
		"53300": "too many connections",
		"53200": "out of memory",
		"53100": "disk full",
		"08006": "connection failure",
		"25006": "read only",
	} {
		answers["postgres"][code] = &pq.Error{Code: pqerror.Code(code), Severity: "ERROR", Message: what}
	}
	for number, what := range map[uint16]string{
		1213: "deadlock; certification failure of Galera",
		1205: "lock wait timeout; wait for what other nodes committed",
		1020: "record has changed",
		3101: "certification failure of group replication",
		1047: "node is no part of the cluster",
		1053: "server shutdown",
		1317: "query interrupted",
		1969: "statement timeout of MariaDB",
		3024: "statement timeout of MySQL",
		1040: "too many connections",
		1114: "disk full",
		1180: "error during COMMIT",
	} {
		answers["mysql"][fmt.Sprint(number)] = &mysqldriver.MySQLError{Number: number, Message: what}
	}
	for kind, source := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := &answering{}
			s, c := leader(t, stores.Options{Driver: kind, Source: source(t), WrapConnector: f.wrap})
			n := uint64(0)
			for name, err := range answers[kind] {
				for _, it := range []struct {
					what    string
					answers []answer
				}{
					{"statement", []answer{{err: err}}},
					{"statement twice", []answer{{err: err}, {err: err}}},
					{"commit", []answer{{err: err, atCommit: true}}},
					{"commit that was done", []answer{{err: err, atCommit: true, done: true}}},
				} {
					if it.answers[0].done && !ambiguous(err) {
						continue // these codes say that nothing was done
					}
					f.set(it.answers)
					n++
					results, err := s.Append(t.Context(), []stores.Append{{Channel: c, Payload: fmt.Append(nil, n)}})
					if err != nil || results[0].Err != nil || results[0].Sequence != n {
						t.Fatalf("%s at %s: %+v (%v), want sequence %d", name, it.what, results, err, n)
					}
					f.set(it.answers)
					if err := s.RenewLease(t.Context()); err != nil {
						t.Fatalf("%s at %s of a renewal: %v", name, it.what, err)
					}
					if left := f.set(nil); left > 0 {
						t.Fatalf("%s at %s did not happen", name, it.what)
					}
				}
			}
			messages, err := s.Read(t.Context(), c, 1, n+1, int(n)+1, 1<<20)
			if err != nil || len(messages) != int(n) || messages[n-1].Sequence != n {
				t.Fatalf("%d messages (%v), want %d", len(messages), err, n)
			}
		})
	}
}

// ambiguous reports whether the answer leaves the outcome open.
func ambiguous(err error) bool {
	for _, code := range []string{"40001", "40P01", "55P03", "1213", "1205", "1020", "3101"} {
		if strings.Contains(err.Error(), code) {
			return false
		}
	}
	return true
}

// answering is a connector that answers with its own errors to writes of the lease, which every writing transaction
// makes.
type answering struct {
	mu   sync.Mutex // guards the fields below
	left []answer
}

type answer struct {
	err      error
	atCommit bool // at the end of a transaction or of a text that commits itself; otherwise in place of a statement
	done     bool // the answer comes after the commit
}

// set returns how many answers were left.
func (f *answering) set(answers []answer) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := len(f.left)
	f.left = answers
	return left
}

// next returns the answer for this place, if there is one.
func (f *answering) next(commits, statement bool) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.left) == 0 || f.left[0].atCommit && !commits || !f.left[0].atCommit && !statement {
		return answer{}, false
	}
	a := f.left[0]
	f.left = f.left[1:]
	return a, true
}

func (f *answering) wrap(c driver.Connector) driver.Connector { return &answeringConnector{c, f} }

type answeringConnector struct {
	driver.Connector
	f *answering
}

func (c *answeringConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &answeringConn{conn.(fullConn), c.f, false}, nil
}

type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type answeringConn struct {
	fullConn
	f    *answering
	inTx bool
}

func (c *answeringConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.fullConn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return &answeringTx{tx, c}, nil
}

type answeringTx struct {
	driver.Tx
	conn *answeringConn
}

func (t *answeringTx) Commit() error {
	t.conn.inTx = false
	a, ok := t.conn.f.next(true, false)
	if ok && !a.done {
		_ = t.Tx.Rollback()
		return a.err
	}
	if err := t.Tx.Commit(); err != nil || !ok {
		return err
	}
	return a.err
}

func (t *answeringTx) Rollback() error {
	t.conn.inTx = false
	return t.Tx.Rollback()
}

// write runs a text that writes the lease.
func (c *answeringConn) write(text string, do func() error) error {
	if !strings.Contains(text, "UPDATE StoreLock") {
		return do()
	}
	a, ok := c.f.next(!c.inTx, true)
	if ok && !a.done {
		return a.err
	}
	if err := do(); err != nil || !ok {
		return err
	}
	return a.err
}

func (c *answeringConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.write(text, func() error { result, err = c.fullConn.ExecContext(ctx, text, args); return err })
	return result, err
}

func (c *answeringConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	stmt, err := c.fullConn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &answeringStmt{stmt.(fullStmt), c, text}, nil
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type answeringStmt struct {
	fullStmt
	conn *answeringConn
	text string
}

func (s *answeringStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.conn.write(s.text, func() error { result, err = s.fullStmt.ExecContext(ctx, args); return err })
	return result, err
}

func (s *answeringStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.conn.write(s.text, func() error { rows, err = s.fullStmt.QueryContext(ctx, args); return err })
	if err != nil && rows != nil {
		_ = rows.Close() // reads to the end, and so to the commit
		rows = nil
	}
	return rows, err
}
