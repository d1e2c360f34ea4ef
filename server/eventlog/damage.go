package eventlog

import (
	"errors"
	"slices"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// maxDamage is how many damaged rows are remembered by name.
const maxDamage = 100

// Damage remembers the rows that turned out to be damaged, for monitoring.
type Damage struct {
	mu   sync.Mutex // guards what follows
	rows []string   // by table and key, with the reason
	more int        // those that are not in rows
}

// Note adds the row that an error is about, if it is about one, once.
func (d *Damage) Note(err error) {
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

// All returns what was noted, and how many rows these are or more.
func (d *Damage) All() (rows []string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows), len(d.rows) + d.more
}
