package verify

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// readErasures reads the erasures, and checks what is listed for them.
func (c *check) readErasures(ctx context.Context) error {
	c.erasures = map[int64]string{}
	err := c.snapshot.Query(ctx, "SELECT id, state, selector FROM Erasures ORDER BY id", func(rows *sql.Rows) error {
		var id int64
		var state, selector string
		ok, err := c.scanned(rows, "Erasures", &id, &state, &selector)
		if err != nil || !ok {
			return err
		}
		key := fmt.Sprintf("id %d", id)
		switch c.erasures[id] = state; {
		case state != stores.ErasurePending && state != stores.ErasureErased && state != stores.ErasureDone:
			c.findings.add("erasure", "Erasures", key, "its state is %q", state)
		case state != stores.ErasurePending && selector != "":
			c.findings.add("erasure", "Erasures", key, "its selector is left, which may be personal data")
		case state == stores.ErasurePending:
			c.notes.add("erasure", "Erasures", key, "it was interrupted: a server that leads resumes it")
		case state == stores.ErasureErased:
			c.notes.add("erasure", "Erasures", key, "its streams may still have messages: a server that leads deletes them")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.snapshot.Query(ctx, "SELECT erasure, MIN(id), MIN(seq) FROM ErasedMessages GROUP BY erasure ORDER BY erasure", func(rows *sql.Rows) error {
		var erasure, channel, sequence int64
		if err := rows.Scan(&erasure, &channel, &sequence); err != nil {
			return err
		}
		if state, known := c.erasures[erasure]; !known || state == stores.ErasureDone {
			c.findings.add("erasure", "ErasedMessages", fmt.Sprintf("erasure %d", erasure), "it lists messages, but no erasure of that number is open")
		}
		return nil
	})
}

// compareErasure checks that an erasure is known of each message that was erased.
func (ch *channelCheck) compareErasure(r *row, key string) {
	if !r.erased.Valid {
		return
	}
	switch state, known := ch.check.erasures[r.erased.Int64]; {
	case !known:
		ch.check.findings.add("erasure", "Messages", key, "it was erased by erasure %d, of which there is no record", r.erased.Int64)
	case state == stores.ErasurePending:
		ch.check.findings.add("erasure", "Messages", key, "it was erased by erasure %d, which is still pending", r.erased.Int64)
	}
}

// compareTombstone checks that nothing of an erased event is left, and that its identifiers are those of its payload.
func (ch *channelCheck) compareTombstone(r *row, payload []byte, key string) {
	bad := func(format string, args ...any) {
		ch.check.findings.add("erasure", "Messages", key, format, args...)
	}
	if len(r.document) > 0 || len(r.metadata) > 0 || len(r.tags) > 0 {
		bad("it was erased, but event_data, metadata or tags are left")
	}
	ev, err := ch.rules.Mapping.Extract(payload)
	if err != nil {
		bad("it was erased, but its payload is not an event: %v", err)
		return
	}
	if ev.Type != r.typ.String || ev.AggregateID != r.aggregate.String || ev.AggregateType != r.aggregateType.String || ev.ID != r.id.String {
		bad("it was erased, but the identifiers in its columns are not those of its payload")
	}
	if ch.rules.Mapping == nil && (len(ev.Data) > 0 || len(ev.Metadata) > 0 || len(ev.Tags) > 0) {
		bad("it was erased, but its payload has data, metadata or tags")
	}
}
