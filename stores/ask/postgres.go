package ask

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var postgres = asker{
	open: func(o sqlconn.Options) (*sql.DB, error) {
		write, read, err := sqlconn.Postgres(o, 1, 1)
		if err != nil {
			return nil, err
		}
		write.Close()
		return read, nil
	},
	ask: askPostgres,
}

const (
	// The first statement also takes the snapshot, after which a transaction stays read-only.
	postgresBounds = "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true), set_config('TimeZone', 'UTC', true)"
	// A question may become any role of which that of the session is a member: set_config('role', …).
	postgresMight = `SELECT EXISTS (SELECT FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
 AND (rolsuper OR rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend')))`
	postgresCursor = "DECLARE answer NO SCROLL CURSOR FOR "
	postgresFetch  = "FETCH FORWARD %d FROM answer"
)

func askPostgres(ctx context.Context, conn *sql.Conn, o Options, statement string) (*sql.Rows, error) {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // rolled back when ctx ends
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, postgresBounds, strconv.FormatInt(o.Timeout.Milliseconds(), 10)); err != nil {
		return nil, err
	}
	var mighty bool
	if err := tx.QueryRowContext(ctx, postgresMight).Scan(&mighty); err != nil {
		return nil, err
	}
	if mighty {
		return nil, fmt.Errorf("%w: it is a superuser, or can reach files, programs or sessions of the database server: name the analyst's role", ErrMighty)
	}
	if err := declare(ctx, tx, statement); err != nil {
		return nil, err
	}
	return tx.QueryContext(ctx, fmt.Sprintf(postgresFetch, o.Rows+1))
}

// declare opens a cursor. A prepared text cannot hold a second statement, and no other may be sent before it is closed.
func declare(ctx context.Context, tx *sql.Tx, statement string) error {
	prepared, err := tx.PrepareContext(ctx, postgresCursor+statement)
	if err != nil {
		return err
	}
	defer prepared.Close()
	_, err = prepared.ExecContext(ctx)
	return err
}
