package server

import (
	"errors"
	"slices"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// maxDamage is how many damaged rows are remembered by name.
const maxDamage = 100

// damage remembers the rows that turned out to be damaged, for monitoring.
type damage struct {
	mu   sync.Mutex // guards what follows
	rows []string   // by table and key, with the reason
	more int        // those that are not in rows
}

// note adds the row that an error is about, if it is about one, once.
func (d *damage) note(err error) {
	var damaged *stores.DamagedError
	if !errors.As(err, &damaged) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch text := damaged.Error(); {
	case slices.Contains(d.rows, text):
	case len(d.rows) < maxDamage:
		d.rows = append(d.rows, text)
	default:
		d.more++
	}
}

// all returns what was noted, and how many rows these are or more.
func (d *damage) all() (rows []string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows), len(d.rows) + d.more
}

// damagedRows may be called on nil, the service of a server that does not serve.
func (s *service) damagedRows() ([]string, int) {
	if s == nil {
		return nil, 0
	}
	return s.damage.all()
}

// recoverDamage puts out of service what depends on rows that the recovery could not read.
func (s *service) recoverDamage(rows []*stores.DamagedError) {
	for _, d := range rows {
		s.log.Error("Recovery: "+d.Error(), "table", d.Table, "key", d.Key)
		s.damage.note(d)
		if d.Channel != "" {
			s.channels.take(d.Channel, d)
		}
	}
}
