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
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, erased FROM Messages WHERE id = ? AND seq >= ? ORDER BY seq LIMIT ?",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > ?",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = ?",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = ? AND event_type IS NOT NULL LIMIT 1",
	taggedEvents: "SELECT position, id, seq, tags FROM Messages WHERE position > ? AND tags IS NOT NULL ORDER BY position LIMIT ?",
	hasTag:       "SELECT 1 FROM EventTags WHERE tag = ? AND position = ?",
	objects: `SELECT CASE WHEN type = 'index' AND upper(sql) LIKE 'CREATE UNIQUE%' THEN 'unique index' ELSE type END, lower(name), lower(tbl_name),
    CASE WHEN type = 'trigger' THEN substr(sql, instr(sql, name) + length(name)) ELSE '' END
FROM sqlite_master WHERE type IN ('index', 'view') OR type = 'trigger' AND lower(tbl_name) IN ` + ourTables + `
UNION ALL
SELECT 'foreign key', lower(m.name) || ' ' || k.id, lower(m.name), 'on ' || m.name || ' REFERENCES ' || k."table" || ' ON UPDATE ' || k.on_update || ' ON DELETE ' || k.on_delete
FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS k
WHERE m.type = 'table' AND (lower(m.name) IN ` + ourTables + ` OR lower(k."table") IN ` + ourTables + `)`,
	integrity: "PRAGMA integrity_check(10)",
	lowest:    -1 << 63,
	wanted: []string{
		"unique index idx_msgsaggregate", "unique index idx_msgseventid", "unique index idx_msgsposition", "unique index idx_channelslivename",
		"index idx_msgstime", "index idx_msgstypetime", "index idx_msgstypeposition", "view events", "view consumer_status", "view parked_messages", "view audit_log", "view erasure_log",
	},
	definition: sqliteTrigger,
	defines:    "trigger",
	// docs/decisions/2026-11-21-sqlite-replace.md offers it.
	optional: map[string]string{"trigger events_are_immutable_replace": `BEFORE INSERT ON Messages
WHEN EXISTS (SELECT 1 FROM Messages WHERE rowid = NEW.rowid)
    OR EXISTS (SELECT 1 FROM Messages WHERE id = NEW.id AND seq = NEW.seq)
    OR EXISTS (SELECT 1 FROM Messages WHERE event_id = NEW.event_id AND id = NEW.id)
    OR EXISTS (SELECT 1 FROM Messages WHERE aggregate_id = NEW.aggregate_id AND aggregate_type = NEW.aggregate_type
        AND event_version = NEW.event_version AND id = NEW.id)
    OR EXISTS (SELECT 1 FROM Messages WHERE position = NEW.position)
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: INSERT OR REPLACE refused');
END`},
}
