package stores

import (
	"context"
	"fmt"
	"strings"
)

// QueryReader reads the events that match a query, by position. It answers from indexes where the query is selective and
// scans where it is not, and decides anew for each page. Only one goroutine uses a reader.
type QueryReader struct {
	s      *Store
	handle *handle // the writer has its own
	query  Query
	d      direction
	way    Way

	finders     []*finder // one per item; nil if an item must be scanned for
	planned     bool
	planChannel int64 // the last channel when finders were made

	size     int  // positions to read from an index at a time
	scanning bool // the events are dense here: indexes would find most positions
	rowBytes int  // average of the rows read
	channels map[int64]*Channel
}

// Way is how a QueryReader finds events.
type Way int

const (
	// WayChosen chooses for each page.
	WayChosen Way = iota
	// WayIndex uses indexes wherever there are any, however many events match.
	WayIndex
	// WayScan reads all events.
	WayScan
)

// Page is a part of what a query selects.
type Page struct {
	Events []FoundEvent // in the direction of the reader; may be empty
	// Through is the position up to which the page tells of all events.
	Through uint64
	// Plan says how the page was read, for people.
	Plan string
}

const (
	// denseGap is the average distance of positions below which a scan reads them faster than look-ups. A look-up costs 10 to
	// 20 µs, its part of the index included, and a row of a scan 5 to 8 µs, on each database.
	denseGap = 2
	// firstSize and nextSize are how many positions to read from an index, so that the first event comes soon.
	firstSize = 64
	nextSize  = 1024
	// scanRows and scanBytes bound one page of a scan.
	scanRows  = 4096
	scanBytes = 4 << 20
)

// QueryReader returns a reader of a query, which is valid.
func (s *Store) QueryReader(q Query, back bool) (*QueryReader, error) {
	if err := s.checkMetadata(q); err != nil {
		return nil, err
	}
	return &QueryReader{s: s, handle: s.reader, query: q, d: directionOf(back), size: firstSize, rowBytes: 512}, nil
}

// Only makes the reader find events in one way alone, to compare ways.
func (r *QueryReader) Only(w Way) { r.way = w }

// Read returns matching events at positions from "from" to "to", both included: descending if the reader reads backward,
// when "from" is the higher one. Both have been committed. A page has at most maxMsgs events and maxBytes bytes, but at
// least one event if it can; it may have none although there are more beyond Page.Through.
//
// The error is ErrUnavailable, or a *DamagedError if the next event is not a valid one: nothing is skipped. Read does not retry.
func (r *QueryReader) Read(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) (Page, error) {
	page, err := r.read(ctx, from, to, max(1, maxMsgs), maxBytes)
	if err != nil {
		return Page{}, fmt.Errorf("read from position %d: %w", from, r.s.readError(ctx, err))
	}
	return page, nil
}

func (r *QueryReader) read(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) (Page, error) {
	if len(r.query.Items) == 0 {
		return r.scan(ctx, from, to, maxMsgs, maxBytes, min(maxMsgs, scanRows))
	}
	r.plan()
	if r.finders == nil || r.way == WayScan || r.way == WayChosen && r.scanning {
		return r.scan(ctx, from, to, maxMsgs, maxBytes, scanRows)
	}
	positions, through, err := r.find(ctx, from, to, min(maxMsgs, maxBytes/r.rowBytes+1))
	if err != nil {
		return Page{}, err
	}
	if r.way == WayChosen && uint64(len(positions))*denseGap > r.d.span(from, through) {
		r.scanning = true
		return r.scan(ctx, from, through, maxMsgs, maxBytes, scanRows)
	}
	page := Page{Through: through, Plan: r.indexPlan()}
	if len(positions) == 0 {
		return page, nil
	}
	rows := r.newRows(maxMsgs, maxBytes)
	if err := r.s.dialect.eventsAt(ctx, r.handle, positions, r.d, rows.scan); err != nil {
		return Page{}, err
	}
	r.took(rows)
	if len(rows.page.Events)*4 < len(positions) {
		for _, f := range r.finders {
			f.use = nil // another alternative may be more selective
		}
	}
	if page.Events = rows.page.Events; rows.stopped {
		page.Through = rows.page.Through
	}
	return page, nil
}

// scan reads all events up to a number of rows, and keeps those that match.
func (r *QueryReader) scan(ctx context.Context, from, to uint64, maxMsgs, maxBytes, limit int) (Page, error) {
	limit = max(1, min(limit, scanBytes/r.rowBytes+1))
	text := r.s.text.events[r.d]
	if len(r.query.Items) == 0 {
		text = r.s.text.order[r.d]
		limit = min(limit, maxBytes/r.rowBytes+1)
	}
	rows := r.newRows(maxMsgs, maxBytes)
	low, high := bounds(from, to)
	if err := r.handle.query(ctx, text, rows.scan, low, high, limit); err != nil {
		return Page{}, err
	}
	r.took(rows)
	if rows.rows < limit && !rows.stopped {
		rows.page.Through = to
	}
	rows.page.Plan = "scan"
	r.scanning = len(rows.page.Events)*2*denseGap > rows.seen
	return rows.page, nil
}

// took learns the size of rows.
func (r *QueryReader) took(rows *eventRows) {
	if rows.seen > 0 {
		r.rowBytes = (r.rowBytes + rows.bytes/rows.seen + 1) / 2
	}
}

// find returns candidates, up to a number of them, and the position through which there are no others.
func (r *QueryReader) find(ctx context.Context, from, to uint64, limit int) (positions []uint64, through uint64, err error) {
	through = to
	for _, f := range r.finders {
		if err := f.fill(ctx, r.handle, r.d, from, to, r.size); err != nil {
			return nil, 0, err
		}
		through = r.d.first(through, f.use.through)
	}
	r.size = nextSize
	for _, f := range r.finders {
		for _, p := range f.use.positions {
			if r.d.before(through, p) {
				break
			}
			positions = append(positions, p)
		}
	}
	if positions = r.d.sorted(positions); len(positions) > limit {
		positions = positions[:limit]
		through = positions[limit-1]
	}
	return positions, through, nil
}

// indexPlan names the indexes in use.
func (r *QueryReader) indexPlan() string {
	var names []string
	for _, f := range r.finders {
		names = append(names, f.use.name)
	}
	const most = 5
	if n := len(names); n > most {
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return "index: " + strings.Join(names, ", ")
}

func damagedEvent(position uint64, reason string) error {
	return &DamagedError{Table: "Messages", Key: fmt.Sprintf("position %d", position), Reason: reason}
}

// unknownChannelOf is about an event of a channel that is out of service.
func unknownChannelOf(id int64, position uint64) error {
	return damagedEvent(position, fmt.Sprintf("its channel, with id %d, is missing or out of service", id))
}

// channel returns the channel with an ID, or nil.
func (r *QueryReader) channel(id int64) *Channel {
	c := r.channels[id]
	if c == nil || !r.s.isKnown(c) {
		r.channels = r.s.channelsByID()
		c = r.channels[id]
	}
	return c
}
