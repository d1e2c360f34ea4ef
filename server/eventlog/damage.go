package eventlog

import (
	"errors"
	"slices"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// maxDamage bounds the damaged rows remembered by name.
const maxDamage = 100

// Damage remembers damaged rows for monitoring.
type Damage struct {
	mu   sync.Mutex // guards rows and more
	rows []string   // table and key, with the reason
	more int        // rows beyond maxDamage
}

// Note records the row of an error about a damaged row. It ignores other errors and repeated rows.
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

// All returns the recorded rows and the number of rows. Beyond maxDamage, that number may count a row twice.
func (d *Damage) All() (rows []string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows), len(d.rows) + d.more
}
