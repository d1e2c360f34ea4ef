package verify

var postgresTexts = texts{
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata FROM Messages WHERE id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > $1",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = $1",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = $1 AND event_type IS NOT NULL LIMIT 1",
	objects: `SELECT CASE WHEN x.indisunique THEN 'unique index' ELSE 'index' END, lower(i.relname)
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
WHERE t.relnamespace = current_schema()::regnamespace AND x.indisvalid
UNION ALL
SELECT 'trigger', lower(g.tgname) FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = 'messages' AND g.tgenabled IN ('O', 'A')
UNION ALL
SELECT 'view', lower(relname) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v'`,
	lowest: -1 << 63,
	wanted: []string{
		"unique index pk_msgkey", "unique index idx_msgsaggregate", "unique index idx_msgseventid", "unique index idx_channelslivename",
		"index idx_msgstime", "index idx_msgstypetime", "view events",
		"trigger events_are_immutable", "trigger events_are_not_truncated",
	},
}
