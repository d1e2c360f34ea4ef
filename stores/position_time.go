package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// PositionAt returns the position of the first event with a timestamp of ns (since 1970) or later, or 0. Times never step
// back along positions, except where older events were numbered late. Between two such steps, PositionAt uses binary
// search, as SequenceAt does.
//
// The error is ErrUnavailable. PositionAt does not retry.
func (s *Store) PositionAt(ctx context.Context, ns int64) (uint64, error) {
	last := s.Position()
	if last == 0 {
		return 0, nil
	}
	position, err := s.positionAt(ctx, ns, last)
	if err != nil {
		return 0, fmt.Errorf("find time in the order of events: %w", s.readError(ctx, err))
	}
	return position, nil
}

func (s *Store) positionAt(ctx context.Context, ns int64, last uint64) (uint64, error) {
	var ends []uint64 // of the parts without a step
	err := s.reader.query(ctx, s.text.timeSteps, func(rows *sql.Rows) error {
		var p uint64
		err := rows.Scan(&p)
		if p > 1 && p <= last {
			ends = append(ends, p-1)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	low := uint64(1)
	for _, end := range append(ends, last) {
		found, err := s.firstAt(ctx, ns, low, end)
		if found != 0 || err != nil {
			return found, err
		}
		low = end + 1
	}
	return 0, nil
}

// firstAt is positionAt between two positions, where times do not step back.
func (s *Store) firstAt(ctx context.Context, ns int64, low, end uint64) (found uint64, err error) {
	// Invariant: events before low are too early; found, if not 0, is late enough.
	for high := end + 1; low < high; {
		middle := low + (high-low)/2
		var position uint64
		var at int64
		err := s.reader.query(ctx, s.text.timeAt, func(rows *sql.Rows) error { return rows.Scan(&position, &at) }, middle, end)
		switch {
		case err != nil:
			return 0, err
		case position == 0: // erased from the middle on
			high = middle
		case at >= ns:
			found, high = position, middle // the event may lie after the middle; go on with what lies before
		default:
			low = position + 1
		}
	}
	return found, nil
}
