package sqlconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/lib/pq"
)

// timelines refuses connections to servers that a failover left behind: a restarted former primary or a standby lacks
// what was acknowledged since. Promotion gives a server the next timeline, so the primary is the server with the
// highest.
type timelines struct {
	mu      sync.Mutex // guards the fields below
	highest uint64     // highest timeline seen
}

// postgresHosts connects to the first of the source's hosts that accepts writes.
func postgresHosts(cfg pq.Config, dialer pq.Dialer) (*hosts, error) {
	others := cfg.Multi
	cfg.Multi = nil
	if len(others) > 0 && cfg.TargetSessionAttrs == "" {
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	seen := &timelines{}
	var all []driver.Connector
	for i := range len(others) + 1 {
		if i > 0 {
			cfg.Host, cfg.Hostaddr, cfg.Port = others[i-1].Host, others[i-1].Hostaddr, others[i-1].Port
		}
		c, err := pq.NewConnectorConfig(cfg.Clone())
		if err != nil {
			return nil, err
		}
		c.Dialer(dialer)
		all = append(all, &primary{c, seen})
	}
	return newHosts(all), nil
}

// primary is the connector of one host.
type primary struct {
	driver.Connector
	seen *timelines
}

// Connect fails if the host is behind another one.
func (p *primary) Connect(ctx context.Context) (driver.Conn, error) {
	bare, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := confirm(bare)
	if err == nil {
		var timeline uint64
		for try := 1; ; try++ {
			if timeline, err = readTimeline(ctx, conn); !timedOut(err) || try == timelineTries || ctx.Err() != nil {
				break
			}
		}
		if err == nil {
			err = p.seen.admit(timeline)
		}
	}
	if err != nil {
		_ = bare.Close()
		return nil, err
	}
	return conn, nil
}

func (t *timelines) admit(timeline uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if timeline < t.highest {
		return fmt.Errorf("this PostgreSQL server is no longer the primary: its timeline is %d, another server had %d", timeline, t.highest)
	}
	t.highest = timeline
	return nil
}

// timelineTries is how often to ask for the timeline while the server's own statement_timeout ends the question: the session's
// is not set yet.
const timelineTries = 10

func timedOut(err error) bool {
	var canceled *pq.Error
	return errors.As(err, &canceled) && canceled.Code == "57014"
}

// readTimeline returns 0 for a server without a timeline: a standby, or a server that is not PostgreSQL.
func readTimeline(ctx context.Context, conn driver.QueryerContext) (uint64, error) {
	rows, err := conn.QueryContext(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn())", nil)
	if err != nil {
		return 0, unlessRefused(err)
	}
	defer func() { _ = rows.Close() }() // all rows were read, or the connection is dropped
	name := make([]driver.Value, 1)
	if err := rows.Next(name); err != nil {
		return 0, unlessRefused(err)
	}
	// The name begins with the timeline, as eight hexadecimal digits.
	timeline := uint64(0)
	if text := fmt.Sprintf("%s", name[0]); len(text) >= 8 {
		timeline, _ = strconv.ParseUint(text[:8], 16, 32) // 0: not PostgreSQL
	}
	for err == nil {
		err = rows.Next(name)
	}
	if !errors.Is(err, io.EOF) {
		return 0, unlessRefused(err)
	}
	return timeline, nil
}

// unlessRefused returns nil if the server does not run the statement. Other errors say nothing about the timeline.
func unlessRefused(err error) error {
	var refused *pq.Error
	if errors.As(err, &refused) && (refused.Code.Class() == "55" || refused.Code.Class() == "42" || refused.Code.Class() == "0A") {
		return nil // in recovery, or no such function
	}
	return fmt.Errorf("read the timeline: %w", err)
}
