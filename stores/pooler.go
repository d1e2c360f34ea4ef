package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// postgresSession names the server process behind a connection, on any host.
const postgresSession = "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"

// checkPooler fails if a pooler gives connections another session of the database from transaction to transaction, as PgBouncer
// does unless its pool_mode is session. Two connections then share a session, or one has several.
func (*postgres) checkPooler(ctx context.Context, write, read *sql.DB) error {
	var seen [2]string
	for i, pool := range []*sql.DB{write, read} {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		for range 3 {
			var session string
			if err := conn.QueryRowContext(ctx, postgresSession).Scan(&session); err != nil {
				return fmt.Errorf("read session: %w", err)
			}
			if seen[i] != "" && session != seen[i] || session == seen[1-i] {
				return fmt.Errorf("%w: a pooler gives each transaction another session, which loses the settings that make commits durable: "+
					"set pool_mode = session for this database (PgBouncer), or connect to PostgreSQL itself", ErrSetup)
			}
			seen[i] = session
		}
	}
	return nil
}
