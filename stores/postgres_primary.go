package stores

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

// primary connects to the first of the source's hosts that takes writes, and from then on to none that a failover has
// left behind: a former primary that was started again, or a standby, does not have what was acknowledged since.
// Promotion gives a server the next timeline, so that the one with the highest timeline is the primary.
type primary struct {
	driver.Connector                    // of the first host
	hosts            []driver.Connector // by the order in the source

	mu       sync.Mutex // guards what follows
	last     int        // the host that connected last is tried first
	timeline uint64     // highest that was seen
}

func newPrimary(cfg pq.Config, dialer pq.Dialer) (*primary, error) {
	others := cfg.Multi
	cfg.Multi = nil
	if len(others) > 0 && cfg.TargetSessionAttrs == "" {
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	p := &primary{}
	for i := range len(others) + 1 {
		if i > 0 {
			cfg.Host, cfg.Hostaddr, cfg.Port = others[i-1].Host, others[i-1].Hostaddr, others[i-1].Port
		}
		c, err := pq.NewConnectorConfig(cfg.Clone())
		if err != nil {
			return nil, err
		}
		c.Dialer(dialer)
		p.hosts = append(p.hosts, c)
	}
	p.Connector = p.hosts[0]
	return p, nil
}

// Connect tries each host once.
func (p *primary) Connect(ctx context.Context) (driver.Conn, error) {
	p.mu.Lock()
	first := p.last
	p.mu.Unlock()
	var errs []error
	for i := range p.hosts {
		host := (first + i) % len(p.hosts)
		conn, err := p.connect(ctx, host)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (p *primary) connect(ctx context.Context, host int) (driver.Conn, error) {
	bare, err := p.hosts[host].Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := confirm(bare)
	if err == nil {
		err = p.admit(ctx, conn, host)
	}
	if err != nil {
		_ = bare.Close()
		return nil, err
	}
	return conn, nil
}

// admit refuses a connection to a server that is behind one that was seen.
func (p *primary) admit(ctx context.Context, conn driver.QueryerContext, host int) error {
	timeline := readTimeline(ctx, conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if timeline < p.timeline {
		return fmt.Errorf("this PostgreSQL server is not the primary any more: its timeline is %d, there was %d already", timeline, p.timeline)
	}
	p.timeline, p.last = timeline, host
	return nil
}

// readTimeline returns 0 for a server that has no timeline to say: a standby, and what is not PostgreSQL.
func readTimeline(ctx context.Context, conn driver.QueryerContext) uint64 {
	rows, err := conn.QueryContext(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn())", nil)
	if err != nil {
		return 0
	}
	defer func() { _ = rows.Close() }() // all were read, or the connection is given up
	name := make([]driver.Value, 1)
	if err := rows.Next(name); err != nil {
		return 0
	}
	// The name begins with the timeline, as eight hexadecimal digits.
	timeline := uint64(0)
	if text := fmt.Sprintf("%s", name[0]); len(text) >= 8 {
		timeline, _ = strconv.ParseUint(text[:8], 16, 32) // 0: not PostgreSQL's
	}
	for err == nil {
		err = rows.Next(name)
	}
	if !errors.Is(err, io.EOF) {
		return 0
	}
	return timeline
}
