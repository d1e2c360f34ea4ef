package sqlconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
)

// hosts connects to one of several servers with the same database: the last that accepted a connection, or else the
// next that does.
type hosts struct {
	driver.Connector // of the first
	all              []driver.Connector

	mu   sync.Mutex // guards the fields below
	last int
}

func newHosts(all []driver.Connector) *hosts { return &hosts{Connector: all[0], all: all} }

// Connect tries each server once.
func (h *hosts) Connect(ctx context.Context) (driver.Conn, error) {
	h.mu.Lock()
	first := h.last
	h.mu.Unlock()
	var errs []error
	for i := range h.all {
		host := (first + i) % len(h.all)
		conn, err := h.all[host].Connect(ctx)
		if err == nil {
			h.mu.Lock()
			h.last = host
			h.mu.Unlock()
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
