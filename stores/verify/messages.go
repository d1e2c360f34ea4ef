package verify

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// stepRows and stepBytes bound what one step reads.
	stepRows  = 2000
	stepBytes = 4 << 20
)

// errEnough ends a step before its last row.
var errEnough = errors.New("stop reading rows")

// channelCheck is a row of Channels and what is known about its messages. The reader owns it.
type channelCheck struct {
	check               *check
	id                  int64
	name                string
	deleted             bool
	maxseq, msgs, bytes int64
	rules               Rules
	erased              Ranges

	count, size int64 // of the rows read
	last, time  int64 // of the last row read
	events      bool  // one of them was an event
}

func (ch *channelCheck) key(sequence int64) string {
	return fmt.Sprintf("channel %q (id %d), sequence %d", ch.name, ch.id, sequence)
}

// row is a row of Messages.
type row struct {
	seq                      int64
	timestamp, size, version sql.NullInt64
	data                     []byte
	id, typ                  sql.NullString
	aggregateType, aggregate sql.NullString
	document, metadata, tags []byte
	position, erased         sql.NullInt64
	missing                  int64 // sequences missing between the row before and this one
}

// messages reads all messages of all channels. One goroutine reads, others compare rows with their payloads.
func (c *check) messages(ctx context.Context) error {
	type work struct {
		ch   *channelCheck
		rows []*row
	}
	queue := make(chan work, c.workers)
	var workers sync.WaitGroup
	for range c.workers {
		workers.Go(func() {
			for w := range queue {
				for _, r := range w.rows {
					w.ch.compare(r)
				}
			}
		})
	}
	defer workers.Wait()
	defer close(queue)
	for _, ch := range c.order {
		for from, more := c.texts.lowest, true; more; {
			var rows []*row
			var err error
			if rows, from, more, err = ch.read(ctx, from); err != nil {
				return fmt.Errorf("channel %q from sequence %d: %w", ch.name, from, err)
			}
			queue <- work{ch, rows}
			c.progress("messages", c.report.Messages, c.total)
		}
		ch.finish()
	}
	return ctx.Err()
}

// read reads some rows. It returns the sequence to continue with, and whether there is more.
func (ch *channelCheck) read(ctx context.Context, from int64) (list []*row, next int64, more bool, err error) {
	c := ch.check
	// A database sends all requested rows, whether or not they are read: ask only for those that fit.
	limit := stepRows
	if ch.msgs > 0 && ch.bytes > 0 {
		limit = int(max(1, min(int64(limit), stepBytes/(ch.bytes/ch.msgs+1))))
	}
	bytes, asked := 0, 0
	of := fmt.Sprintf("id %d (channel %q), ", ch.id, ch.name)
	err = c.snapshot.Query(ctx, c.texts.messages, func(rows *sql.Rows) error {
		asked++
		r := &row{}
		ok, err := c.scannedOf(of, rows, "Messages", &r.seq, &r.timestamp, &r.size, &r.data, &r.id, &r.aggregateType, &r.aggregate,
			&r.version, &r.typ, &r.document, &r.metadata, &r.position, &r.tags, &r.erased)
		if err != nil || !ok {
			return err
		}
		ch.follow(r)
		list = append(list, r)
		if bytes += len(r.data); bytes >= stepBytes {
			asked = limit // there is more to read
			return errEnough
		}
		return nil
	}, ch.id, from, limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	more = err == nil && asked == limit && len(list) > 0 && ch.last < math.MaxInt64
	return list, ch.last + 1, more, err
}

// follow checks a row against the one before it.
func (ch *channelCheck) follow(r *row) {
	c := ch.check
	if ch.count > 0 && r.timestamp.Int64 < ch.time {
		c.findings.add("time", "Messages", ch.key(r.seq), "timestamp %d is earlier than that of sequence %d, %d", r.timestamp.Int64, ch.last, ch.time)
	}
	if r.seq <= 0 {
		c.findings.add("message", "Messages", ch.key(r.seq), "sequences begin at 1")
	} else if ch.count > 0 || ch.rules.Events {
		r.missing = r.seq - max(ch.last, 0) - 1
		c.missing += r.missing
		c.report.Erased += uint64(ch.erased.within(Range{r.seq - r.missing, r.seq - 1}).count())
	}
	if len(ch.erased.within(Range{r.seq, r.seq})) > 0 {
		c.findings.add("erased", "Messages", ch.key(r.seq), "the list of erased messages names it, but it is there: was a backup restored?")
	}
	ch.count++
	ch.size += int64(len(r.data))
	ch.last, ch.time = r.seq, max(ch.time, r.timestamp.Int64)
	ch.events = ch.events || r.typ.Valid
	c.report.Messages++
	c.report.Bytes += uint64(len(r.data))
	if r.typ.Valid {
		c.report.Events++
	}
}

// finish compares the counters with the rows.
func (ch *channelCheck) finish() {
	bad := func(format string, args ...any) {
		ch.check.findings.add("counters", "Channels", fmt.Sprintf("id %d, name %q", ch.id, ch.name), format, args...)
	}
	if ch.msgs != ch.count || ch.bytes != ch.size {
		bad("msgs is %d and bytes is %d, but Messages has %d with %d bytes", ch.msgs, ch.bytes, ch.count, ch.size)
	}
	switch {
	case ch.maxseq < ch.last:
		bad("maxseq is %d, but a message has sequence %d", ch.maxseq, ch.last)
	case ch.maxseq > ch.last && ch.rules.Events && (ch.events || ch.count == 0):
		end := Range{ch.last + 1, ch.maxseq}
		ch.check.missing += ch.maxseq - ch.last
		ch.check.report.Erased += uint64(ch.erased.within(end).count())
		ch.gap(ch.check.findings, end)
	}
	last := max(ch.maxseq, ch.last)
	if beyond := ch.erased.within(Range{last + 1, math.MaxInt64}); len(beyond) > 0 {
		ch.check.notes.add("erased", "Channels", fmt.Sprintf("id %d, name %q", ch.id, ch.name),
			"the list of erased messages names sequence %d, but the last one was %d", beyond[0].First, last)
	}
	if !ch.rules.Events && ch.events {
		ch.check.notes.add("events", "Channels", fmt.Sprintf("id %d, name %q", ch.id, ch.name),
			"it holds events but is not an event channel in this configuration: their columns were not compared with the payloads")
	}
}

// compare compares a row with the message in it. It is safe for concurrent use.
func (ch *channelCheck) compare(r *row) {
	c := ch.check
	key := ch.key(r.seq)
	if int64(len(r.data)) != r.size.Int64 || !r.size.Valid {
		c.findings.add("size", "Messages", key, "size is %d, data has %d bytes", r.size.Int64, len(r.data))
	}
	var m pb.MsgProto
	err := m.Unmarshal(r.data)
	switch {
	case err != nil:
		c.findings.add("message", "Messages", key, "data is not a MsgProto: %v", err)
	case m.Sequence != uint64(r.seq):
		c.findings.add("message", "Messages", key, "data has sequence %d", m.Sequence)
	case m.Subject != ch.name:
		c.findings.add("message", "Messages", key, "data belongs to channel %q", m.Subject)
	case m.Timestamp != r.timestamp.Int64 || !r.timestamp.Valid:
		c.findings.add("message", "Messages", key, "timestamp is %d, data says %d", r.timestamp.Int64, m.Timestamp)
	}
	if r.typ.Valid && !r.position.Valid {
		c.findings.add("order", "Messages", key, "the event has no position: %s", howToNumber)
	}
	ch.compareErasure(r, key)
	historic := true // stored before its channel became an event channel
	switch {
	case err != nil:
		historic = false
	case !r.typ.Valid:
		if r.id.Valid || r.aggregate.Valid || r.aggregateType.Valid || r.version.Valid || r.document != nil || r.metadata != nil || r.position.Valid || r.tags != nil {
			c.findings.add("columns", "Messages", key, "event_type is NULL, other columns of an event are not")
			historic = false
		} else if ch.rules.Events {
			c.notes.add("no event", "Messages", key, "it has no event columns: nats-streaming-server migrate fills them or says why it cannot")
		}
	case ch.rules.Events && r.erased.Valid:
		historic = false // the gap before a tombstone is not older than events
		ch.compareTombstone(r, m.Data, key)
	case ch.rules.Events:
		historic = ch.compareEvent(r, m.Data, key)
	}
	if r.missing <= 0 {
		return
	}
	to := c.findings
	if !ch.rules.Events || historic {
		to = c.notes
	}
	ch.gap(to, Range{r.seq - r.missing, r.seq - 1})
}

// gap adds missing messages, unless they were erased.
func (ch *channelCheck) gap(to *findings, missing Range) {
	for _, r := range ch.erased.without(missing) {
		which := ""
		if r.Last == ch.maxseq {
			which = ", the last one assigned,"
		}
		to.add("gap", "Messages", ch.key(r.First), "the messages from here to sequence %d%s are missing", r.Last, which)
	}
}

// compareEvent compares the event columns with the payload. It reports whether the event was a message before it became
// an event: it has no version of its own.
func (ch *channelCheck) compareEvent(r *row, payload []byte, key string) (historic bool) {
	c := ch.check
	bad := func(format string, args ...any) { c.findings.add("columns", "Messages", key, format, args...) }
	ev, err := ch.rules.Mapping.Extract(payload)
	if err != nil {
		bad("it has event columns, but the payload is not an event: %v", err)
		return false
	}
	for _, column := range []struct {
		name   string
		stored sql.NullString
		want   string
		null   bool // an empty text is NULL
	}{
		{"event_id", r.id, ev.ID, true},
		{"event_type", r.typ, ev.Type, false},
		{"aggregate_id", r.aggregate, ev.AggregateID, false},
		{"aggregate_type", r.aggregateType, ev.AggregateType, false},
	} {
		if column.stored.String != column.want || column.stored.Valid != (column.want != "" || !column.null) {
			bad("%s is %s, the payload says %q", column.name, shownText(column.stored), column.want)
		}
	}
	switch {
	case !r.version.Valid || r.version.Int64 < 1:
		bad("event_version is NULL or below 1")
	case ev.Version != 0 && ev.Version != uint64(r.version.Int64) && ch.rules.Versions != stores.VersionsOff:
		bad("event_version is %d, the payload says %d", r.version.Int64, ev.Version)
	}
	if want := ev.Document(c.snapshot.JSONDepth); !sameJSON(r.document, want) {
		bad("event_data differs from the payload: %s, not %s", shownJSON(r.document), shownJSON(want))
	}
	if !sameJSON(r.metadata, ev.Metadata) {
		bad("metadata differs from the payload: %s, not %s", shownJSON(r.metadata), shownJSON(ev.Metadata))
	}
	ch.compareTags(r, ev.Tags, key)
	return ev.Version == 0 && !bytes.Equal(ch.rules.Mapping.AppendVersion(payload, 1), payload)
}

func shownText(text sql.NullString) string {
	if !text.Valid {
		return "NULL"
	}
	return fmt.Sprintf("%q", text.String)
}

func shownJSON(text []byte) string {
	const most = 60
	switch {
	case len(text) == 0:
		return "NULL"
	case len(text) > most:
		return fmt.Sprintf("%.*s… (%d bytes)", most, text, len(text))
	}
	return string(text)
}

// orphans looks for messages of channels that have no row, and for events of deleted channels.
func (c *check) orphans(ctx context.Context) error {
	for after := int64(math.MinInt32); ; {
		var id sql.NullInt64
		err := c.snapshot.Query(ctx, c.texts.firstChannel, func(rows *sql.Rows) error { return rows.Scan(&id) }, after)
		if err != nil || !id.Valid {
			return err
		}
		after = id.Int64
		ch := c.channels[id.Int64]
		switch {
		case ch == nil:
			err = c.snapshot.Query(ctx, c.texts.countMessage, func(rows *sql.Rows) error {
				var count, first, last int64
				err := rows.Scan(&count, &first, &last)
				c.findings.add("orphan", "Messages", fmt.Sprintf("id %d", id.Int64),
					"there is no such channel, but %d messages with sequences from %d to %d", count, first, last)
				return err
			}, id.Int64)
		case ch.deleted:
			err = c.snapshot.Query(ctx, c.texts.hasEvents, func(*sql.Rows) error {
				c.findings.add("channel", "Channels", fmt.Sprintf("id %d, name %q", ch.id, ch.name), "it is marked as deleted, but holds events")
				return nil
			}, ch.id)
		}
		if err != nil {
			return err
		}
	}
}
