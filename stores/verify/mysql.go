package verify

var mysqlTexts = texts{
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata FROM Messages WHERE id = ? AND seq >= ? ORDER BY seq LIMIT ?",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > ?",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = ?",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = ? AND event_type IS NOT NULL LIMIT 1",
	objects: `SELECT DISTINCT IF(non_unique = 0, 'unique index', 'index'), LOWER(index_name)
FROM information_schema.statistics WHERE table_schema = DATABASE() AND LOWER(table_name) = 'messages'
UNION ALL
SELECT 'trigger', LOWER(trigger_name) FROM information_schema.triggers
WHERE trigger_schema = DATABASE() AND LOWER(event_object_table) = 'messages'
UNION ALL
SELECT 'view', LOWER(table_name) FROM information_schema.views WHERE table_schema = DATABASE()`,
	wanted: []string{
		"unique index primary", "unique index idx_msgsaggregate", "unique index idx_msgseventid",
		"index idx_msgstime", "index idx_msgstypetime", "view events",
		"trigger events_are_immutable_update", "trigger events_are_immutable_delete",
	},
}
