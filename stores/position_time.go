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
// The error is ErrUnavailable, or a *DamagedError. PositionAt does not retry.
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
		at, err := s.timeAt(ctx, end)
		if err != nil {
			return 0, err
		}
		if at < ns {
			low = end + 1
			continue
		}
		// Invariant: positions before low are too early; high is late enough.
		high := end
		for low < high {
			middle := low + (high-low)/2
			if at, err = s.timeAt(ctx, middle); err != nil {
				return 0, err
			}
			if at >= ns {
				high = middle
			} else {
				low = middle + 1
			}
		}
		return high, nil
	}
	return 0, nil
}

// timeAt returns the timestamp of the event at a position.
func (s *Store) timeAt(ctx context.Context, position uint64) (int64, error) {
	var at int64
	found := false
	err := s.reader.query(ctx, s.text.timeAt, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&at)
	}, position)
	if err == nil && !found {
		err = missingEvent(position)
	}
	return at, err
}
