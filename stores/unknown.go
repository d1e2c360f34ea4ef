package stores

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
)

// markUnresolved makes the next batch find out the outcome of a plan. It adds ErrOutcomeUnknown to err.
func (b *batch) markUnresolved(p *plan, err error) error {
	b.s.unresolved = append(b.s.unresolved, p.channels()...)
	for _, r := range p.rows {
		b.dropHeads([]int{r.item})
	}
	return fmt.Errorf("%w: %w", err, ErrOutcomeUnknown)
}

// isStored compares the rows at the plan's sequences with the plan, byte by byte.
func (b *batch) isStored(ctx context.Context, q querier, p *plan) (bool, error) {
	want := make(map[*Channel][]*row, len(p.advances))
	for _, r := range p.rows {
		want[r.channel] = append(want[r.channel], r)
	}
	same, other := 0, 0
	for _, adv := range p.advances {
		rows := want[adv.channel]
		err := q.query(ctx, b.s.text.read, func(found *sql.Rows) error {
			var m Message
			if err := found.Scan(&m.Sequence, &m.Timestamp, &m.Data, (*eventNumber)(&m.Version), (*eventNumber)(&m.Position), (*eventNumber)(&m.Erased)); err != nil {
				return err
			}
			if at := m.Sequence - adv.from; at < uint64(len(rows)) && bytes.Equal(rows[at].data, m.Data) {
				same++
			} else {
				other++
			}
			return nil
		}, adv.channel.id, adv.from, adv.last, len(rows)+1)
		if err != nil {
			return false, err
		}
	}
	switch {
	case same == len(p.rows) && other == 0:
		return true, nil
	case same == 0 && other == 0:
		return false, nil
	}
	// Someone else wrote these rows past the lease: plan again above them.
	return false, &txError{kind: failedUnique, err: fmt.Errorf("%d of %d sequences are already taken", same+other, len(p.rows))}
}

// resolveUnknown reads the channels of batches with an unknown outcome again, behind the fence and in a new epoch. It
// forgets channels whose deletion had an unknown outcome and succeeded.
func (s *Store) resolveUnknown(ctx context.Context) error {
	if len(s.unresolved) == 0 && len(s.maybeDeleted) == 0 {
		return nil
	}
	lease, err := s.held()
	if err != nil {
		return err
	}
	var epoch uint64
	var deleted []*Channel
	err = s.write(ctx, func(t *transaction) (err error) {
		if epoch, err = s.endEpoch(ctx, t); err != nil {
			return err
		}
		if deleted, err = s.deleted(ctx, t, s.maybeDeleted); err != nil {
			return err
		}
		if err := s.reload(ctx, t, s.unresolved); err != nil {
			return err
		}
		return s.reloadOrder(ctx, t)
	})
	if err != nil {
		return fmt.Errorf("read the state after an unknown outcome: %w", err)
	}
	s.beginEpoch(lease, epoch)
	s.unresolved, s.maybeDeleted = nil, nil
	s.forget(deleted)
	return nil
}
