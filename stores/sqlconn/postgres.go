package sqlconn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Postgres returns two connection pools to PostgreSQL, of at most writers and readers connections. It does not connect
// yet.
func Postgres(o Options, writers, readers int) (write, read *sql.DB, err error) {
	cfg, err := pq.NewConfig(o.Source)
	if err != nil || splitURL.MatchString(o.Source) {
		// The error about an unreadable source repeats parts of it, for instance a password with a character that
		// needed escaping.
		if err != nil && strings.HasPrefix(err.Error(), "pq: ") && !repeats(err.Error(), o.Source) &&
			(cfg.Password == "" || !strings.Contains(err.Error(), cfg.Password)) {
			return nil, nil, fmt.Errorf("invalid source: %w", err)
		}
		return nil, nil, errors.New("invalid source: want a postgres:// URL or a list of key=value (escape special characters in the password: in a URL, @ is %40, / is %2F, # is %23, ? is %3F, % is %25)")
	}
	timeouts := deadlines{read: o.StatementTimeout + networkGrace, write: o.StatementTimeout + networkGrace, most: o.MaxRead}
	for key, value := range cfg.Runtime {
		var to *time.Duration
		switch strings.ToLower(key) {
		case "readtimeout":
			to = &timeouts.read
		case "writetimeout":
			to = &timeouts.write
		default:
			continue
		}
		if *to, err = time.ParseDuration(value); err != nil || *to < 0 {
			return nil, nil, fmt.Errorf("invalid source: %s=%s is not a duration, such as 5s", key, value)
		}
		delete(cfg.Runtime, key)
	}
	if o.Patient {
		timeouts.read, timeouts.write = o.StatementTimeout+networkGrace, o.StatementTimeout+networkGrace
		delete(cfg.Runtime, "statement_timeout")
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = defaultConnectTimeout
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = "nats-streaming-server"
	}
	cfg.BinaryParameters = true // send bytes as they are, not as hexadecimal text
	connector, err := postgresHosts(cfg, timeouts)
	if err != nil {
		return nil, nil, err
	}

	settings := []string{
		// Acknowledged means committed. Keep a stricter setting, in which a standby confirms commits.
		"set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
		"set_config('quote_all_identifiers', 'off', false)", // the catalog names types as the server knows them
		fmt.Sprintf("set_config('idle_in_transaction_session_timeout', '%d', false)", idleInTransaction.Milliseconds()),
	}
	if _, given := cfg.Runtime["statement_timeout"]; !given {
		settings = append(settings, fmt.Sprintf("set_config('statement_timeout', '%d', false)", o.StatementTimeout.Milliseconds()))
	}
	all := &session{Connector: connector, setup: []string{
		"SELECT " + strings.Join(settings, ", "),
		// Each of our statements has one good plan. Without their values arrays look expensive, and the server would
		// plan each execution anew, or compile it, which costs more than executing it. A session may be idle, such as that of a
		// migration's lock. (The settings exist from version 11, 12, 14 or 17 on.)
		"SELECT set_config(name, CASE name WHEN 'jit' THEN 'off' WHEN 'plan_cache_mode' THEN 'force_generic_plan' ELSE '0' END, false) FROM pg_settings WHERE name IN ('jit', 'plan_cache_mode', 'idle_session_timeout', 'transaction_timeout')",
	}}
	return o.open(all, writers), o.open(all, readers), nil
}

// deadlines is a dialer whose connections bound each read and write, and the bytes that are read in all. 0 means no bound.
type deadlines struct {
	read, write time.Duration
	most        int64
}

func (d deadlines) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d deadlines) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext is the method that the driver calls.
func (d deadlines) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return dialLine(ctx, network, address, d.read, d.write, d.most)
}
