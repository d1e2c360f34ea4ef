package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// Left to itself, the optimizer may read the whole table and sort it.
var mysqlQueries = func() queryStatements {
	s := sharedQueries(asWritten)
	s.order = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages FORCE INDEX (Idx_MsgsPosition) WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages FORCE INDEX (Idx_MsgsPosition) WHERE position >= ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.events = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages FORCE INDEX (Idx_MsgsPosition) WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages FORCE INDEX (Idx_MsgsPosition) WHERE position >= ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.typePositions = [2]string{
		"SELECT position FROM Messages FORCE INDEX (Idx_MsgsTypePosition) WHERE event_type = ? AND position >= ? AND event_type = ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT position FROM Messages FORCE INDEX (Idx_MsgsTypePosition) WHERE event_type = ? AND position >= ? AND event_type = ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.aggregatePositions = [2]string{
		"SELECT position FROM Messages FORCE INDEX (Idx_MsgsAggregate) WHERE aggregate_id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
		"SELECT position FROM Messages FORCE INDEX (Idx_MsgsAggregate) WHERE aggregate_id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
	}
	s.channelPositions = [2]string{
		"SELECT position FROM Messages FORCE INDEX (PRIMARY) WHERE id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
		"SELECT position FROM Messages FORCE INDEX (PRIMARY) WHERE id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
	}
	return s
}()

const mysqlEventsAt = "SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages FORCE INDEX (Idx_MsgsPosition) WHERE position IN ("

var mysqlEventsAtOrder = [2]string{") ORDER BY position", ") ORDER BY position DESC"}

func (*mysql) eventsAt(ctx context.Context, q querier, positions []uint64, d direction, scan func(*sql.Rows) error) error {
	return q.query(ctx, mysqlEventsAt+repeat("?", ",", len(positions))+mysqlEventsAtOrder[d], scan, positionArgs(positions)...)
}

// mysqlMetadata has room for the column of a path, which holds the first characters of its value.
var mysqlMetadata = [2]string{
	"SELECT position FROM Messages WHERE %s = LEFT(?, 255) AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
	"SELECT position FROM Messages WHERE %s = LEFT(?, 255) AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
}

func (*mysql) metadataPositions(x jsonIndex, _, value string, d direction) (text string, arg any) {
	return fmt.Sprintf(mysqlMetadata[d], quoteName(x.field())), value
}
