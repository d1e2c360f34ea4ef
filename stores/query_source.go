package stores

import (
	"context"
	"database/sql"
	"slices"
)

// source is a stream of positions from an index, in the direction of its reader: those of the events that one condition
// of a query selects. It holds a part of them.
type source struct {
	text string
	args func(low, high uint64) []any
	// sorted means that the database collects and sorts the positions anew for each part, which therefore is a large one.
	sorted bool

	at      uint64 // held begins here; valid if read
	through uint64 // held ends here, even if the last positions are not the source's
	held    []uint64
	read    bool
}

// sortedPart is the size of a part that the database must sort for.
const sortedPart = 8192

// fill makes the source hold the positions from one on, or reads up to size of them. The result ends at the position
// through.
func (s *source) fill(ctx context.Context, q querier, d direction, from, to uint64, size int) error {
	if s.read && d.before(from, s.at) {
		s.read, s.held = false, nil
	}
	for len(s.held) > 0 && d.before(s.held[0], from) {
		s.held = s.held[1:]
	}
	begin := from
	switch {
	case !s.read || d.before(s.through, from):
		s.held = nil
	case len(s.held) > 0 || !d.before(s.through, to):
		s.at = from
		return nil
	default:
		begin = d.after(s.through)
	}
	if s.sorted {
		size = max(size, sortedPart)
	}
	held := make([]uint64, 0, min(size, 1024))
	low, high := bounds(begin, to)
	err := q.query(ctx, s.text, func(rows *sql.Rows) error {
		var p int64
		err := rows.Scan(&p)
		held = append(held, uint64(p))
		return err
	}, append(s.args(low, high), size)...)
	if err != nil {
		return err
	}
	if s.at, s.through, s.held, s.read = from, to, held, true; len(held) == size {
		s.through = held[size-1]
	}
	return nil
}

// alternative is one way to find the events of an item: the union of sources.
type alternative struct {
	name    string // for people
	sources []*source
	costly  bool // each part read costs all messages of a channel

	positions []uint64 // of the sources together, without repetitions
	through   uint64
}

// fill reads the positions from one on, up to about size or up to position to.
func (a *alternative) fill(ctx context.Context, q querier, d direction, from, to uint64, size int) error {
	a.through = to
	each := max(16, size/max(1, len(a.sources)))
	for _, s := range a.sources {
		if err := s.fill(ctx, q, d, from, to, each); err != nil {
			return err
		}
		a.through = d.first(a.through, s.through)
	}
	a.positions = a.positions[:0]
	for _, s := range a.sources {
		for _, p := range s.held {
			if d.before(a.through, p) {
				break
			}
			a.positions = append(a.positions, p)
		}
	}
	if len(a.sources) > 1 {
		a.positions = d.sorted(a.positions)
	}
	return nil
}

// sorted sorts positions and drops repetitions.
func (d direction) sorted(positions []uint64) []uint64 {
	slices.Sort(positions)
	positions = slices.Compact(positions)
	if d == backward {
		slices.Reverse(positions)
	}
	return positions
}

// gap is the average distance between two positions of the alternative, which is larger for a more selective one.
func (a *alternative) gap(d direction, from uint64) float64 {
	return float64(d.span(from, a.through)) / float64(len(a.positions)+1)
}

// finder finds the events of an item.
type finder struct {
	all []*alternative
	use *alternative // nil: compare all of them first
}

// fill reads positions with the most selective alternative. A costly one is not asked where another has few positions up to the end:
// fewer could save less than it costs.
func (f *finder) fill(ctx context.Context, q querier, d direction, from, to uint64, size int) error {
	if f.use != nil {
		return f.use.fill(ctx, q, d, from, to, size)
	}
	for _, a := range f.all {
		if a.costly && f.use != nil && f.use.through == to && len(f.use.positions) <= size {
			continue
		}
		if err := a.fill(ctx, q, d, from, to, size); err != nil {
			return err
		}
		if f.use == nil || a.gap(d, from) > f.use.gap(d, from) {
			f.use = a
		}
	}
	return nil
}

func positionArgs(positions []uint64) []any {
	all := make([]any, len(positions))
	for i, p := range positions {
		all[i] = p
	}
	return all
}
