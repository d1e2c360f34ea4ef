// Package ask answers people's questions in SQL. They get a connection of their own that cannot write, a bounded time and a bounded answer.
//
// That a transaction is read-only does not make every SELECT harmless: functions read files and end sessions, COPY writes files and runs
// programs. So the database role must be unable to do such things, which is checked, and PostgreSQL answers through a cursor, which takes
// nothing but a query. SQLite has no roles. There, an authorizer admits reading alone, and no other file can be attached.
package ask

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var (
	// ErrMighty means that the role may do more than read tables.
	ErrMighty = errors.New("the database role of the questions may do too much")
	// ErrNotQuestion means that a statement is not a query.
	ErrNotQuestion = errors.New("only a query can be asked: begin with SELECT or WITH")
	// ErrLocks means that a statement could lock rows, which the server writes.
	ErrLocks = errors.New("a question must not lock rows, for which the server would wait")
	// ErrTooLong means that the answer took too long.
	ErrTooLong = errors.New("the answer took too long")
)

// Options say where questions are asked, and bound the answers.
type Options struct {
	Driver string // postgres, mysql or sqlite
	Source string
	// Timeout bounds a question, Rows its answer, and Bytes each value of it. All values together have at most answerBytes.
	Timeout time.Duration
	Rows    int
	Bytes   int
}

// Bounds of memory: an answer, and what the database may send for it, of which values are cut only here.
const (
	answerBytes = 4 << 20
	readBytes   = 32 << 20
)

// Answer is the beginning of what a statement returns.
type Answer struct {
	Columns []string
	Rows    [][]Value
	More    bool // there are more rows
	Took    time.Duration
}

// Value is a value as text.
type Value struct {
	Text string
	Null bool
	Cut  bool // it is longer
}

// asker asks on one kind of database.
type asker struct {
	open func(sqlconn.Options) (*sql.DB, error)
	// ask begins a question. The connection is used for nothing else.
	ask func(ctx context.Context, conn *sql.Conn, o Options, statement string) (*sql.Rows, error)
}

var askers = map[string]asker{"postgres": postgres, "mysql": mysql, "sqlite": sqlite}

// Ask asks a question.
func Ask(ctx context.Context, o Options, statement string) (*Answer, error) {
	a, ok := askers[o.Driver]
	if !ok {
		return nil, fmt.Errorf("unknown driver %q", o.Driver)
	}
	statement = strings.TrimRight(strings.TrimSpace(statement), "; \t\r\n")
	if !isQuery(statement) {
		return nil, ErrNotQuestion
	}
	db, err := a.open(sqlconn.Options{Source: o.Source, StatementTimeout: o.Timeout, ConnMaxLifetime: time.Hour, MaxRead: readBytes})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	answer, err := ask(limited, cancel, db, a, o, statement)
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: more than %v", ErrTooLong, o.Timeout)
	}
	if answer != nil {
		answer.Took = time.Since(began)
	}
	return answer, err
}

func ask(ctx context.Context, stop func(), db *sql.DB, a asker, o Options, statement string) (*Answer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer stop() // ends the transaction, for which closing the connection waits, and rows, whose rest closing them would read
	rows, err := a.ask(ctx, conn, o, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	defer stop()
	answer := &Answer{}
	if answer.Columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	values := make([]any, len(answer.Columns))
	targets := make([]any, len(values))
	for i := range values {
		targets[i] = &values[i]
	}
	held := 0
	for rows.Next() {
		if len(answer.Rows) == o.Rows || held > answerBytes {
			answer.More = true
			return answer, nil
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := make([]Value, len(values))
		for i, v := range values {
			row[i] = valueOf(v, o.Bytes)
			held += len(row[i].Text)
		}
		answer.Rows = append(answer.Rows, row)
	}
	if err := rows.Err(); err != nil {
		if ctx.Err() != nil || len(answer.Rows) == 0 || !sqlconn.Lost(err) && !errors.Is(err, mysqldriver.ErrInvalidConn) {
			return nil, err
		}
		answer.More = true // it has more than readBytes
	}
	return answer, nil
}

// isQuery reports whether a statement begins like a query. What it does is for the database to judge.
func isQuery(statement string) bool {
	for {
		statement = strings.TrimLeft(statement, "( \t\r\n")
		switch {
		case strings.HasPrefix(statement, "--"):
			_, rest, _ := strings.Cut(statement, "\n")
			statement = rest
			continue
		case strings.HasPrefix(statement, "/*"):
			_, rest, _ := strings.Cut(statement, "*/")
			statement = rest
			continue
		}
		word := strings.ToUpper(statement[:min(len(statement), 6)])
		return word == "SELECT" || strings.HasPrefix(word, "WITH") || word == "VALUES"
	}
}

// valueOf returns a value as text of up to n bytes.
func valueOf(v any, n int) Value {
	var text string
	switch v := v.(type) {
	case nil:
		return Value{Null: true}
	case []byte:
		if text = string(v); !utf8.Valid(v) {
			cut := len(v) > n/2
			return Value{Text: `\x` + hex.EncodeToString(v[:min(len(v), n/2)]), Cut: cut}
		}
	case time.Time:
		text = v.UTC().Format("2006-01-02 15:04:05.999999999")
	default:
		text = fmt.Sprint(v)
	}
	if len(text) > n {
		return Value{Text: strings.Clone(strings.ToValidUTF8(text[:n], "")), Cut: true} // without the rest in memory
	}
	return Value{Text: text}
}
