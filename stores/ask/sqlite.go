package ask

import (
	"context"
	"database/sql"
	"errors"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var sqlite = asker{open: sqlconn.SQLiteQuestions, ask: askSQLite}

// Bounds of memory, which is the server's: of a value, since randomblob(1000000000) would take a gigabyte, and of the values in a row.
const (
	sqliteValue   = 8 << 20
	sqliteColumns = 100
)

func askSQLite(ctx context.Context, conn *sql.Conn, _ Options, statement string) (*sql.Rows, error) {
	for id, limit := range map[int]int{sqlite3.SQLITE_LIMIT_LENGTH: sqliteValue, sqlite3.SQLITE_LIMIT_COLUMN: sqliteColumns, sqlite3.SQLITE_LIMIT_ATTACHED: 0} {
		if _, err := sqlitedriver.Limit(conn, id, limit); err != nil {
			return nil, err
		}
	}
	err := conn.Raw(func(bare any) error {
		r, ok := bare.(sqlitedriver.AuthorizerRegisterer)
		if !ok {
			return errors.New("the driver of SQLite has no authorizer")
		}
		return r.RegisterAuthorizer(mayRead)
	})
	if err != nil {
		return nil, err
	}
	return conn.QueryContext(ctx, statement)
}

// mayRead admits what queries consist of.
func mayRead(action sqlitedriver.AuthorizerActionCode, _, _, _, _ string) sqlitedriver.AuthorizerReturnCode {
	switch action {
	case sqlitedriver.AuthSelect, sqlitedriver.AuthRead, sqlitedriver.AuthFunction, sqlitedriver.AuthRecursive:
		return sqlitedriver.AuthorizerOK
	}
	return sqlitedriver.AuthorizerDeny
}
