package sqlconn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// mysqlIdle is how long the server keeps an idle session; the pool closes its own earlier. A migration's session is
// idle while it waits for another server's migration.
const mysqlIdle = time.Minute

// MySQL returns a pool of up to size connections to MySQL or MariaDB, or to the nodes of a cluster. It does not connect
// yet. With multiStatements a text may hold several statements.
func MySQL(o Options, size int, multiStatements bool) (*sql.DB, error) {
	cfg, err := parseMySQL(o.Source)
	if err != nil {
		if strings.HasPrefix(err.Error(), "invalid") && !repeats(err.Error(), o.Source) {
			return nil, fmt.Errorf("invalid source: %w", err)
		}
		// Other errors repeat parts of it, which can be the password.
		return nil, errors.New("invalid source: want user:password@tcp(host:port)/database")
	}
	if cfg.DBName == "" {
		return nil, errors.New("invalid source: it does not name a database: want user:password@tcp(host:port)/database")
	}
	if err := mysqlTLS(cfg); err != nil {
		return nil, fmt.Errorf("invalid source: %w", err)
	}
	cfg.InterpolateParams = true // safe: the connection is utf8mb4, and the driver heeds NO_BACKSLASH_ESCAPES
	cfg.Collation = ""
	cfg.MultiStatements = multiStatements
	cfg.ClientFoundRows = false
	cfg.ParseTime = true // the lock of the migrations needs it
	cfg.MaxAllowedPacket = 0
	cfg.Logger = &mysqldriver.NopLogger{}
	cfg.RejectReadOnly = true // drop the connection to a server that became read-only
	if err := cfg.Apply(mysqldriver.Charset("utf8mb4", "")); err != nil {
		return nil, fmt.Errorf("invalid source: %w", err)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultConnectTimeout
	}
	if cfg.ReadTimeout <= 0 || o.Patient {
		cfg.ReadTimeout = o.StatementTimeout + networkGrace
	}
	if cfg.WriteTimeout <= 0 || o.Patient {
		cfg.WriteTimeout = o.StatementTimeout + networkGrace
	}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialLine(ctx, network, address, cfg.ReadTimeout, cfg.WriteTimeout, o.MaxRead)
	}
	nodes, err := mysqlHosts(cfg, []string{"DO 0", fmt.Sprintf( // a Galera node outside the cluster refuses the first, and would accept the second
		// Strict: a value that does not fit is an error and is never cut off. The wait for a lock ends before the
		// client's. The locks of a vanished client end soon, even if its statement failed and its transaction wrote
		// nothing; MySQL has no limit for transactions only.
		// The rest are defaults that a server or an init_connect may have changed: a statement commits by itself, and may change
		// rows without naming their key; no limit of the server ends it before ours.
		"SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', SESSION autocommit = 1, SESSION completion_type = 'NO_CHAIN', SESSION sql_safe_updates = 0, SESSION sql_big_selects = 1, SESSION sql_select_limit = 18446744073709551615, SESSION innodb_lock_wait_timeout = %d, SESSION wait_timeout = %d /*!80000 , SESSION max_execution_time = 0 */ /*M! , SESSION max_statement_time = 0, SESSION idle_transaction_timeout = %d */",
		max(1, int(math.Floor(min(o.StatementTimeout.Seconds(), 1<<20)))), int(mysqlIdle.Seconds()), int(idleInTransaction.Seconds()))},
		// On Galera, a node that answers has applied what others committed. Servers built without it lack the setting.
		[]string{"SET SESSION wsrep_sync_wait = 1"})
	if err != nil {
		return nil, fmt.Errorf("invalid source: %w", err)
	}
	db := o.open(nodes, size)
	db.SetConnMaxIdleTime(mysqlIdle / 2)
	return db, nil
}
