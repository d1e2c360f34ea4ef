package ask

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var mysql = asker{
	open: func(o sqlconn.Options) (*sql.DB, error) { return sqlconn.MySQL(o, 1, false) },
	ask:  askMySQL,
}

// mysqlBounds ends a statement on the server, too. The settings have names and units of their own on MySQL and MariaDB.
const mysqlBounds = "SET SESSION time_zone = '+00:00' /*!80000 , SESSION max_execution_time = %d */ /*M! , SESSION max_statement_time = %g */"

// mysqlLocks finds clauses that lock rows, which a read-only transaction admits, and version comments, which may hold them. What it finds in
// a string is refused, too.
var mysqlLocks = regexp.MustCompile(`(?is)\b(lock([\s\v]|/\*.*?\*/|(--|#)[^\n]*\n)+in|for([\s\v]|/\*.*?\*/|(--|#)[^\n]*\n)+(update|share))\b|/\*M?!`)

func askMySQL(ctx context.Context, conn *sql.Conn, o Options, statement string) (*sql.Rows, error) {
	if found := mysqlLocks.FindString(statement); found != "" {
		return nil, fmt.Errorf("%w: leave out %q", ErrLocks, found)
	}
	if err := checkMySQLRole(ctx, conn); err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf(mysqlBounds, o.Timeout.Milliseconds(), o.Timeout.Seconds())); err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // rolled back when ctx ends
	if err != nil {
		return nil, err
	}
	return tx.QueryContext(ctx, statement)
}

// checkMySQLRole returns an error if the role has a global privilege: FILE reads and writes files, and others reach all databases.
func checkMySQLRole(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SHOW GRANTS")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var grant string
		if err := rows.Scan(&grant); err != nil {
			return err
		}
		if strings.Contains(grant, " ON *.* ") && !strings.HasPrefix(grant, "GRANT USAGE ON ") {
			return fmt.Errorf("%w: it has privileges on *.*, all databases: name the analyst's role", ErrMighty)
		}
	}
	return rows.Err()
}
