package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// Left to itself, the planner may choose another index and sort.
var sqliteQueries = func() queryStatements {
	s := sharedQueries(asWritten)
	s.order = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages INDEXED BY Idx_MsgsPosition WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages INDEXED BY Idx_MsgsPosition WHERE position >= ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.events = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages INDEXED BY Idx_MsgsPosition WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages INDEXED BY Idx_MsgsPosition WHERE position >= ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.typePositions = [2]string{
		"SELECT position FROM Messages INDEXED BY Idx_MsgsTypePosition WHERE event_type = ? AND position >= ? AND event_type = ? AND position <= ? ORDER BY position LIMIT ?",
		"SELECT position FROM Messages INDEXED BY Idx_MsgsTypePosition WHERE event_type = ? AND position >= ? AND event_type = ? AND position <= ? ORDER BY position DESC LIMIT ?",
	}
	s.aggregatePositions = [2]string{
		"SELECT position FROM Messages INDEXED BY Idx_MsgsAggregate WHERE aggregate_id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
		"SELECT position FROM Messages INDEXED BY Idx_MsgsAggregate WHERE aggregate_id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
	}
	s.channelPositions = [2]string{
		"SELECT position FROM Messages INDEXED BY sqlite_autoindex_Messages_1 WHERE id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
		"SELECT position FROM Messages INDEXED BY sqlite_autoindex_Messages_1 WHERE id = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
	}
	return s
}()

const sqliteEventsAt = "SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages INDEXED BY Idx_MsgsPosition WHERE position IN ("

var sqliteEventsAtOrder = [2]string{") ORDER BY position", ") ORDER BY position DESC"}

func (*sqlite) eventsAt(ctx context.Context, q querier, positions []uint64, d direction, scan func(*sql.Rows) error) error {
	return q.query(ctx, sqliteEventsAt+repeat("?", ",", len(positions))+sqliteEventsAtOrder[d], scan, positionArgs(positions)...)
}

// sqliteMetadata has room for a path, as its index has it.
var sqliteMetadata = [2]string{
	"SELECT position FROM Messages WHERE json_extract(metadata, %s) = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 LIMIT ?",
	"SELECT position FROM Messages WHERE json_extract(metadata, %s) = ? AND position + 0 >= ? AND position + 0 <= ? ORDER BY position + 0 DESC LIMIT ?",
}

func (*sqlite) metadataPositions(x jsonIndex, _, value string, d direction) (text string, arg any) {
	return fmt.Sprintf(sqliteMetadata[d], quoteText(x.path.String())), value
}
