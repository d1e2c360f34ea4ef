package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// order is the end of the one order of all events.
type order struct {
	position uint64     // of the last event; 0 if there is none
	time     int64      // timestamp of the last event that is there
	given    uint64     // StoreLock.position, which each batch asserts; it may be behind after an incomplete restore
	hash     chain.Hash // of the last event in the chain
	linked   uint64     // position of that event
}

// Position returns the position of the last committed event, 0 if there is none. Positions have no gaps, so it is also
// the number of events.
func (s *Store) Position() uint64 { return s.order().position }

// follow returns the position of an event that is stored already and comes next. If its time steps back, it adds that
// position to steps.
func (o *order) follow(timestamp int64, steps *[]uint64) uint64 {
	if timestamp < o.time {
		*steps = append(*steps, o.position+1)
	}
	o.position, o.time = o.position+1, timestamp
	o.given = o.position
	return o.position
}

func (s *Store) order() order {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last
}

func (s *Store) setOrder(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = o
}

// orderColumns is what the database says about the order.
type orderColumns struct {
	given sql.NullInt64 // StoreLock.position; NULL until all events that other programs wrote are numbered
	last  sql.NullInt64 // highest position of an event
	time  sql.NullInt64 // timestamp of that event
	link  chain.Link    // of that event
}

func (c *orderColumns) scan(rows *sql.Rows) error {
	return rows.Scan(&c.given, &c.last, &c.time, (*[]byte)(&c.link))
}

// unchained reports whether the last event is not in the chain.
func (c *orderColumns) unchained() bool { return c.last.Valid && !c.link.Valid() }

// hash returns the hash of the last event, which is in the chain; the zero Hash if there is none.
func (c *orderColumns) hash() (hash chain.Hash) {
	if c.link.Valid() {
		hash = c.link.Hash()
	}
	return hash
}

// order returns the end of the order. The last event may have been erased.
func (c *orderColumns) order() (order, error) {
	if min(c.given.Int64, c.last.Int64) < 0 {
		return order{}, fmt.Errorf("a position in table StoreLock or Messages is negative: %w", errCorrupt)
	}
	end := order{position: uint64(max(c.given.Int64, c.last.Int64)), time: c.time.Int64, given: uint64(c.given.Int64)}
	if !c.unchained() {
		end.linked, end.hash = uint64(c.last.Int64), c.hash()
	}
	return end, nil
}

// errNotOrdered means that the lease row does not have the last position that memory expects.
var errNotOrdered = errors.New("the last position is not the expected one")

// advanceOrder records the last position in the lease row. It reports whether an earlier attempt of the same
// transaction has already done so.
func (s *Store) advanceOrder(ctx context.Context, t *transaction, before, after order) (done bool, err error) {
	changed, err := t.exec(ctx, s.text.advanceOrder, after.position, before.given)
	if err != nil || changed == 1 {
		return false, err
	}
	var now sql.NullInt64
	if err := t.query(ctx, s.text.givenPosition, func(rows *sql.Rows) error { return rows.Scan(&now) }); err != nil {
		return false, err
	}
	switch at := uint64(now.Int64); {
	case at == after.position:
		return true, nil
	case at < before.given:
		return false, s.rewound("the log", "position", before.given, at)
	}
	return false, &txError{kind: failedUnique, err: fmt.Errorf("%w: position %d follows, not %d", errNotOrdered, now.Int64+1, before.position+1)}
}

// reloadOrder reads the end of the order again.
func (s *Store) reloadOrder(ctx context.Context, q querier) error {
	var columns orderColumns
	if err := q.query(ctx, s.text.lastPosition, columns.scan); err != nil {
		return fmt.Errorf("reload the last position: %w", err)
	}
	found, err := columns.order()
	if err != nil {
		return fmt.Errorf("reload the last position: %w", err)
	}
	if columns.unchained() { // another program stored it: the chain goes on without it, and verify tells
		if found.linked, found.hash, err = s.lastChained(ctx, q); err != nil {
			return err
		}
	}
	if before := s.Position(); found.position < before {
		return s.rewound("the log", "position", before, found.position)
	}
	s.setOrder(found)
	return nil
}
