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

// mysqlIdle is after how long the server ends an idle session; ours are closed before. A migration's is idle for as
// long as it waits for another server's.
const mysqlIdle = time.Minute

// MySQL returns a pool of up to size connections to MySQL or MariaDB, or to the nodes of a cluster. It connects nothing yet.
// With multiStatements a text may have several statements.
func MySQL(o Options, size int, multiStatements bool) (*sql.DB, error) {
	cfg, err := mysqldriver.ParseDSN(o.Source)
	if err != nil {
		if strings.HasPrefix(err.Error(), "invalid") {
			return nil, fmt.Errorf("invalid source: %w", err)
		}
		// Other errors repeat what stands where the network should, which can be the password.
		return nil, errors.New("invalid source: it is not user:password@tcp(host:port)/database")
	}
	if cfg.DBName == "" {
		return nil, errors.New("invalid source: it names no database")
	}
	cfg.InterpolateParams = true // safe: the connection is utf8mb4, and the driver heeds NO_BACKSLASH_ESCAPES
	cfg.Collation = ""
	cfg.MultiStatements = multiStatements
	cfg.ClientFoundRows = false
	cfg.ParseTime = true // for the lock of the migrations
	cfg.MaxAllowedPacket = 0
	cfg.Logger = &mysqldriver.NopLogger{}
	cfg.RejectReadOnly = true // a server that became read-only is left, not asked again
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
		return dialLine(ctx, network, address, cfg.ReadTimeout, cfg.WriteTimeout)
	}
	nodes, err := mysqlHosts(cfg, []string{"DO 0", fmt.Sprintf( // a Galera node that is no part of the cluster refuses the first, and would take the second
		// Strict: a value that does not fit is an error, never cut off. The wait for a lock ends before the client's.
		// The locks of a vanished client end soon, also if its statement failed, so that its transaction has written
		// nothing; MySQL knows no limit for transactions only.
		"SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', SESSION innodb_lock_wait_timeout = %d, SESSION wait_timeout = %d /*M! , SESSION idle_transaction_timeout = %d */",
		max(1, int(math.Floor(min(o.StatementTimeout.Seconds(), 1<<20)))), int(mysqlIdle.Seconds()), int(idleInTransaction.Seconds()))},
		// On Galera, a node that is asked has applied what others have committed. Servers built without it lack the setting.
		[]string{"SET SESSION wsrep_sync_wait = 1"})
	if err != nil {
		return nil, fmt.Errorf("invalid source: %w", err)
	}
	db := o.open(nodes, size)
	db.SetConnMaxIdleTime(mysqlIdle / 2)
	return db, nil
}
