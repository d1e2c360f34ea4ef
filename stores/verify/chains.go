package verify

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// The order is that of the unique index.
	chainsText   = "SELECT aggregate_id, aggregate_type, event_version, id, seq FROM Messages WHERE aggregate_id IS NOT NULL ORDER BY aggregate_id, aggregate_type, event_version, id"
	eventIDsText = "SELECT event_id, id, COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE event_id IS NOT NULL GROUP BY event_id, id HAVING COUNT(*) > 1"
)

// latest is the latest version of an aggregate on one channel.
type latest struct{ version, sequence int64 }

// chains checks that the versions of each aggregate follow the channel's rules. They are in the order of sequences
// without a gap or, if they must only be unique, all different.
func (c *check) chains(ctx context.Context) error {
	var id, typ sql.NullString  // of the aggregate whose rows are read
	heads := map[int64]latest{} // of that aggregate, by channel
	done := uint64(0)
	return c.snapshot.Query(ctx, chainsText, func(rows *sql.Rows) error {
		var aggregate, aggregateType sql.NullString
		var version sql.NullInt64
		var channel, sequence int64
		ok, err := c.scanned(rows, "Messages", &aggregate, &aggregateType, &version, &channel, &sequence)
		if err != nil || !ok {
			return err
		}
		if aggregate != id || aggregateType != typ {
			id, typ = aggregate, aggregateType
			clear(heads)
		}
		if done++; done%stepRows == 0 {
			c.progress("versions", done, c.report.Events)
		}
		head, known := heads[channel]
		if !known {
			c.report.Aggregates++
		}
		heads[channel] = latest{version.Int64, sequence}
		ch := c.channels[channel]
		if ch == nil || ch.deleted || !ch.rules.Events || !version.Valid || version.Int64 < 1 {
			return nil // another check reports it
		}
		bad := func(format string, args ...any) {
			c.findings.add("versions", "Messages", fmt.Sprintf("channel %q (id %d), aggregate_type %q, aggregate_id %q, event_version %d",
				ch.name, ch.id, typ.String, id.String, version.Int64), format, args...)
		}
		switch {
		case version.Int64 == head.version:
			bad("sequences %d and %d have the same version", min(head.sequence, sequence), max(head.sequence, sequence))
		case ch.rules.Versions == stores.VersionsUnique:
		case version.Int64 != head.version+1 && ch.erased.within(Range{head.sequence + 1, sequence - 1}).count() >= version.Int64-head.version-1:
			// The missing versions were those of erased events.
		case version.Int64 != head.version+1:
			bad("versions from %d to %d are missing before sequence %d", head.version+1, version.Int64-1, sequence)
		case sequence < head.sequence:
			bad("it is at sequence %d, but the version before it is at sequence %d", sequence, head.sequence)
		}
		return nil
	})
}

// eventIDs checks that no channel has two events with the same event_id.
func (c *check) eventIDs(ctx context.Context) error {
	c.progress("event_ids", 0, 0)
	return c.snapshot.Query(ctx, eventIDsText, func(rows *sql.Rows) error {
		var id string
		var channel, count, first, last int64
		if err := rows.Scan(&id, &channel, &count, &first, &last); err != nil {
			return err
		}
		c.findings.add("event_id", "Messages", fmt.Sprintf("id %d, event_id %q", channel, id), "%d events have it, from sequence %d to %d", count, first, last)
		return nil
	})
}
