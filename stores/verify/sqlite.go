package verify

import (
	"errors"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// corruptFile reports whether err means that a page of SQLite's file is malformed.
func corruptFile(err error) bool {
	var e *sqlitedriver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_CORRUPT
}

var sqliteTexts = texts{
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata FROM Messages WHERE id = ? AND seq >= ? ORDER BY seq LIMIT ?",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > ?",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = ?",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = ? AND event_type IS NOT NULL LIMIT 1",
	objects:      "SELECT CASE WHEN type = 'index' AND upper(sql) LIKE 'CREATE UNIQUE%' THEN 'unique index' ELSE type END, lower(name) FROM sqlite_master WHERE type IN ('index', 'trigger', 'view')",
	integrity:    "PRAGMA integrity_check(10)",
	lowest:       -1 << 63,
	wanted: []string{
		"unique index idx_msgsaggregate", "unique index idx_msgseventid", "unique index idx_channelslivename",
		"index idx_msgstime", "index idx_msgstypetime", "view events",
		"trigger events_are_immutable_update", "trigger events_are_immutable_delete",
	},
}
