package stores

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// The partial index needs event_type IS NOT NULL, which a comparison of rows does not imply. Compared as a row, the type is
// part of the order, so that only the index of types and positions has that order.
var postgresQueries = func() queryStatements {
	s := sharedQueries(numbered)
	s.order = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3",
		"SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position DESC LIMIT $3",
	}
	s.events = [2]string{
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3",
		"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position DESC LIMIT $3",
	}
	s.typePositions = [2]string{
		"SELECT position FROM Messages WHERE (event_type, position) >= ($1, $2) AND (event_type, position) <= ($3, $4) AND event_type IS NOT NULL ORDER BY event_type, position LIMIT $5",
		"SELECT position FROM Messages WHERE (event_type, position) >= ($1, $2) AND (event_type, position) <= ($3, $4) AND event_type IS NOT NULL ORDER BY event_type DESC, position DESC LIMIT $5",
	}
	s.aggregatePositions = [2]string{
		"SELECT position FROM Messages WHERE aggregate_id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 LIMIT $4",
		"SELECT position FROM Messages WHERE aggregate_id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 DESC LIMIT $4",
	}
	s.channelPositions = [2]string{
		"SELECT position FROM Messages WHERE id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 LIMIT $4",
		"SELECT position FROM Messages WHERE id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 DESC LIMIT $4",
	}
	return s
}()

var postgresEventsAt = [2]string{
	"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position = ANY($1::bigint[]) ORDER BY position",
	"SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position = ANY($1::bigint[]) ORDER BY position DESC",
}

func (*postgres) eventsAt(ctx context.Context, q querier, positions []uint64, d direction, scan func(*sql.Rows) error) error {
	all := newArray(oidInt8, len(positions), 8*len(positions))
	for _, p := range positions {
		all.int8(int64(p))
	}
	return q.query(ctx, postgresEventsAt[d], scan, all.buf)
}

// postgresMetadata has room for the condition that the index knows.
var postgresMetadata = [2]string{
	"SELECT position FROM Messages WHERE %s AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 LIMIT $4",
	"SELECT position FROM Messages WHERE %s AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 DESC LIMIT $4",
}

func (*postgres) metadataPositions(x jsonIndex, key, value string, d direction) (text string, arg any) {
	if x.path == nil {
		document, _ := json.Marshal(map[string]string{key: value}) // never fails
		return fmt.Sprintf(postgresMetadata[d], "metadata @> $1::jsonb"), string(document)
	}
	return fmt.Sprintf(postgresMetadata[d], x.postgresExpression()+" = $1"), value
}
