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

// Postgres returns two pools of connections to PostgreSQL, of up to so many writers and readers. It connects nothing yet.
func Postgres(o Options, writers, readers int) (write, read *sql.DB, err error) {
	cfg, err := pq.NewConfig(o.Source)
	if err != nil {
		// The text of an error about a source that can not be read repeats parts of it, such as a password with a
		// character that should have been escaped.
		if text := err.Error(); strings.HasPrefix(text, "pq: ") && (cfg.Password == "" || !strings.Contains(text, cfg.Password)) {
			return nil, nil, fmt.Errorf("invalid source: %w", err)
		}
		return nil, nil, errors.New("invalid source: it is neither a postgres:// URL nor a list of key=value (are special characters of the password escaped?)")
	}
	timeouts := deadlines{read: o.StatementTimeout + networkGrace, write: o.StatementTimeout + networkGrace}
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
			return nil, nil, fmt.Errorf("invalid source: %s=%s is no duration such as 5s", key, value)
		}
		delete(cfg.Runtime, key)
	}
	if o.Patient {
		timeouts = deadlines{read: o.StatementTimeout + networkGrace, write: o.StatementTimeout + networkGrace}
		delete(cfg.Runtime, "statement_timeout")
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = defaultConnectTimeout
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = "nats-streaming-server"
	}
	cfg.BinaryParameters = true // bytes go as they are, not as hexadecimal text
	connector, err := postgresHosts(cfg, timeouts)
	if err != nil {
		return nil, nil, err
	}

	settings := []string{
		// Acknowledged means committed. Where a standby confirms commits, that is stricter yet, and stays.
		"set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
		fmt.Sprintf("set_config('idle_in_transaction_session_timeout', '%d', false)", idleInTransaction.Milliseconds()),
	}
	if _, given := cfg.Runtime["statement_timeout"]; !given {
		settings = append(settings, fmt.Sprintf("set_config('statement_timeout', '%d', false)", o.StatementTimeout.Milliseconds()))
	}
	all := &session{Connector: connector, setup: []string{
		"SELECT " + strings.Join(settings, ", "),
		// Our statements have one good plan each. Arrays look expensive without their values, so that the server would
		// plan anew each time, which costs more than to execute. (Setting it where it exists: from version 12 on.)
		"SELECT set_config('plan_cache_mode', 'force_generic_plan', false) FROM pg_settings WHERE name = 'plan_cache_mode'",
	}}
	return o.open(all, writers), o.open(all, readers), nil
}

// deadlines is a dialer of connections whose reads and writes end. 0 means that they do not.
type deadlines struct{ read, write time.Duration }

func (d deadlines) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d deadlines) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext is what the driver calls.
func (d deadlines) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return dialLine(ctx, network, address, d.read, d.write)
}
