package stores

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// eventRows makes a page of rows, in the order of their positions.
type eventRows struct {
	r        *QueryReader
	maxMsgs  int
	maxBytes int
	tags     bool // the query asks for tags
	metadata bool // the query asks for metadata

	page    Page
	size    int  // bytes of the events in page
	rows    int  // that the database returned
	seen    int  // rows that the page tells of
	bytes   int  // of these rows
	stopped bool // the page is full
	block   blocks

	to                      []any // pointers to the columns
	id, sequence, timestamp int64
	position                int64
	data                    sql.RawBytes
	version, erased         eventNumber
	typ, aggregateType      sql.RawBytes
	aggregateID             sql.RawBytes
	metadataText, tagsText  sql.RawBytes
}

// newRows scans rows. Positions of events that an administrator has erased have none.
func (r *QueryReader) newRows(maxMsgs, maxBytes int) *eventRows {
	rows := &eventRows{r: r, maxMsgs: maxMsgs, maxBytes: maxBytes}
	rows.tags = slices.ContainsFunc(r.query.Items, func(it QueryItem) bool { return len(it.Tags) > 0 })
	rows.metadata = slices.ContainsFunc(r.query.Items, func(it QueryItem) bool { return len(it.Metadata) > 0 })
	rows.to = []any{&rows.id, &rows.sequence, &rows.timestamp, &rows.data, &rows.version, &rows.position, &rows.erased}
	if len(r.query.Items) > 0 {
		rows.to = append(rows.to, &rows.typ, &rows.aggregateType, &rows.aggregateID, &rows.metadataText, &rows.tagsText)
	}
	return rows
}

// scan adds a row, if it matches.
func (e *eventRows) scan(rows *sql.Rows) error {
	if len(e.page.Events) >= e.maxMsgs {
		e.stopped = true
		return errStop
	}
	e.rows++
	e.position = 0
	err := rows.Scan(e.to...)
	at := uint64(e.position)
	switch {
	case err != nil && !isWrongType(rows, err):
		return err
	case err != nil:
		err = damagedEvent(at, err.Error())
	default:
		err = e.add(at)
	}
	if err != nil && len(e.page.Events) > 0 {
		e.stopped = true
		return errStop // the next page begins with it
	}
	if err != nil {
		return err
	}
	e.page.Through = at
	e.seen++
	e.bytes += len(e.data)
	return nil
}

// add adds the event of the current row, if it matches.
func (e *eventRows) add(position uint64) error {
	c := e.r.channel(e.id)
	if c == nil {
		return unknownChannelOf(e.id, position)
	}
	if matches, err := e.matches(c, position); !matches {
		return err
	}
	if len(e.page.Events) > 0 && e.size+len(e.data) > e.maxBytes {
		return errFull
	}
	if err := checkData(c, uint64(e.sequence), e.data); err != nil {
		return err
	}
	e.size += len(e.data)
	e.page.Events = append(e.page.Events, FoundEvent{c, Message{
		Sequence: uint64(e.sequence), Timestamp: e.timestamp, Data: e.block.clone(e.data), Version: uint64(e.version), Position: position, Erased: uint64(e.erased),
	}})
	return nil
}

// errFull means that the event does not fit in the page.
var errFull = errors.New("the page is full")

// matches reports whether the columns of the current row match: what the indexes are made of.
func (e *eventRows) matches(c *Channel, position uint64) (bool, error) {
	if len(e.r.query.Items) == 0 {
		return true, nil
	}
	ev := proto.Event{Type: string(e.typ), AggregateType: string(e.aggregateType), AggregateID: string(e.aggregateID)}
	if e.metadata {
		ev.Metadata = e.metadataText
	}
	if e.tags && len(e.tagsText) > 0 {
		if err := json.Unmarshal(e.tagsText, &ev.Tags); err != nil {
			return false, damagedEvent(position, "tags: "+err.Error())
		}
	}
	return e.r.query.Matches(c.name, &ev), nil
}
