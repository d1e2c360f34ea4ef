package verify

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
)

const eventTagsText = "SELECT t.tag, t.position, m.id, m.seq, m.tags FROM EventTags AS t LEFT JOIN Messages AS m ON m.position = t.position"

// compareTags compares the column tags with the payload.
func (ch *channelCheck) compareTags(r *row, payload []string, key string) {
	tags, err := decodeTags(r.tags)
	switch {
	case err != nil:
		ch.check.findings.add("columns", "Messages", key, "tags is not a list of texts: %v", err)
	case tags == nil && payload != nil: // a server that does not know tags wrote it, or the mapping had none
		ch.check.notes.add("tags", "Messages", key, "it was stored without tags; its payload has %s: queries by these tags do not find it", shownTags(payload))
	case !slices.Equal(tags, payload):
		ch.check.findings.add("columns", "Messages", key, "tags is %s, the payload says %s", shownTags(tags), shownTags(payload))
	}
}

func shownTags(tags []string) string { return shownJSON(fmt.Appendf(nil, "%q", tags)) }

// eventTags checks that EventTags has a row for each tag of each event, and no others. want is the number of tags.
func (c *check) eventTags(ctx context.Context, want uint64) error {
	rowsRead, found := uint64(0), uint64(0)
	err := c.snapshot.Query(ctx, eventTagsText, func(rows *sql.Rows) error {
		var tag string
		var position int64
		var channel, sequence sql.NullInt64
		var list []byte
		ok, err := c.scanned(rows, "EventTags", &tag, &position, &channel, &sequence, &list)
		if err != nil || !ok {
			return err
		}
		if rowsRead++; rowsRead%stepRows == 0 {
			c.progress("tags", rowsRead, want)
		}
		bad := func(format string, args ...any) {
			c.findings.add("tags", "EventTags", fmt.Sprintf("tag %q, position %d", tag, position), format, args...)
		}
		tags, err := decodeTags(list)
		switch {
		case !channel.Valid:
			bad("no event has this position: if it was erased, erase this row too")
		case err != nil || !slices.Contains(tags, tag):
			bad("%s does not have this tag", c.keyOf(channel.Int64, sequence.Int64))
		default:
			found++
		}
		return nil
	})
	if err != nil || found == want {
		return err
	}
	return c.missingTags(ctx)
}

// missingTags finds the tags without a row. It asks for each one, because some are known to be missing.
func (c *check) missingTags(ctx context.Context) error {
	type event struct {
		position, channel, sequence int64
		tags                        []string
	}
	for after := int64(0); ; {
		var events []event
		err := c.snapshot.Query(ctx, c.texts.taggedEvents, func(rows *sql.Rows) error {
			var e event
			var list []byte
			err := rows.Scan(&e.position, &e.channel, &e.sequence, &list)
			if err == nil {
				e.tags, _ = decodeTags(list) // compare reports an error
				events = append(events, e)
			}
			return err
		}, after, stepRows)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			for _, tag := range e.tags {
				found := false
				if err := c.snapshot.Query(ctx, c.texts.hasTag, func(*sql.Rows) error {
					found = true
					return nil
				}, tag, e.position); err != nil {
					return err
				}
				if !found {
					c.findings.add("tags", "EventTags", fmt.Sprintf("tag %q, position %d", tag, e.position),
						"it is missing: %s has this tag, but queries by it do not find it", c.keyOf(e.channel, e.sequence))
				}
			}
		}
		if after = events[len(events)-1].position; after == math.MaxInt64 {
			return nil
		}
	}
}
