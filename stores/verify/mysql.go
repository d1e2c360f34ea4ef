package verify

var mysqlTexts = texts{
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, erased FROM Messages WHERE id = ? AND seq >= ? ORDER BY seq LIMIT ?",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > ?",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = ?",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = ? AND event_type IS NOT NULL LIMIT 1",
	taggedEvents: "SELECT position, id, seq, tags FROM Messages WHERE position > ? AND tags IS NOT NULL ORDER BY position LIMIT ?",
	hasTag:       "SELECT 1 FROM EventTags WHERE tag = ? AND position = ?",
	objects: `SELECT DISTINCT IF(non_unique = 0, 'unique index', 'index'), LOWER(index_name), 'messages', ''
FROM information_schema.statistics WHERE table_schema = DATABASE() AND LOWER(table_name) = 'messages'
UNION ALL
SELECT 'trigger', LOWER(trigger_name), LOWER(event_object_table),
    CONCAT(action_timing, ' ', event_manipulation, ' ON ', event_object_table, ' FOR EACH ', action_orientation, ' ', action_statement)
FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND LOWER(event_object_table) IN ` + ourTables + `
UNION ALL
SELECT 'foreign key', LOWER(constraint_name), LOWER(table_name),
    CONCAT('on ', constraint_schema, '.', table_name, ' REFERENCES ', referenced_table_name, ' ON UPDATE ', update_rule, ' ON DELETE ', delete_rule)
FROM information_schema.referential_constraints
WHERE constraint_schema = DATABASE() AND LOWER(table_name) IN ` + ourTables + `
    OR unique_constraint_schema = DATABASE() AND LOWER(referenced_table_name) IN ` + ourTables + `
UNION ALL
SELECT 'view', LOWER(table_name), LOWER(table_name), '' FROM information_schema.views WHERE table_schema = DATABASE()`,
	wanted: []string{
		"unique index primary", "unique index idx_msgsaggregate", "unique index idx_msgseventid", "unique index idx_msgsposition",
		"index idx_msgstime", "index idx_msgstypetime", "index idx_msgstypeposition", "view events", "view consumer_status", "view parked_messages", "view audit_log", "view erasure_log",
	},
	definition: mysqlTrigger,
	defines:    "trigger",
}
