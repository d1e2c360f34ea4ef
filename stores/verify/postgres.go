package verify

var postgresTexts = texts{
	messages:     "SELECT seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, erased FROM Messages WHERE id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
	firstChannel: "SELECT MIN(id) FROM Messages WHERE id > $1",
	countMessage: "SELECT COUNT(*), MIN(seq), MAX(seq) FROM Messages WHERE id = $1",
	hasEvents:    "SELECT 1 FROM Messages WHERE id = $1 AND event_type IS NOT NULL LIMIT 1",
	taggedEvents: "SELECT position, id, seq, tags FROM Messages WHERE position > $1 AND tags IS NOT NULL ORDER BY position LIMIT $2",
	hasTag:       "SELECT 1 FROM EventTags WHERE tag = $1 AND position = $2",
	objects: `WITH ours AS (
    SELECT oid, lower(relname) AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname IN ` + ourTables + `
)
SELECT CASE WHEN x.indisunique THEN 'unique index' ELSE 'index' END, lower(i.relname), t.name, ''
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN ours AS t ON t.oid = x.indrelid
WHERE x.indisvalid
UNION ALL
SELECT 'trigger', lower(g.tgname), t.name, pg_get_triggerdef(g.oid, true) FROM pg_trigger AS g JOIN ours AS t ON t.oid = g.tgrelid
WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
UNION ALL
SELECT DISTINCT 'function', lower(p.proname), t.name, l.lanname || ' ' || COALESCE(replace(array_to_string(p.proconfig, '; '), 'search_path=', ''), '')
    || CASE WHEN p.prosecdef THEN ' SECURITY DEFINER ' ELSE ' ' END || p.prosrc
FROM pg_trigger AS g JOIN ours AS t ON t.oid = g.tgrelid JOIN pg_proc AS p ON p.oid = g.tgfoid JOIN pg_language AS l ON l.oid = p.prolang
WHERE NOT g.tgisinternal
UNION ALL
SELECT 'foreign key', lower(k.conname), k.conrelid::regclass::text, 'on ' || k.conrelid::regclass || ' ' || pg_get_constraintdef(k.oid, true) FROM pg_constraint AS k
WHERE k.contype = 'f' AND (k.conrelid IN (SELECT oid FROM ours) OR k.confrelid IN (SELECT oid FROM ours))
UNION ALL
SELECT 'rule', lower(r.rulename), t.name, pg_get_ruledef(r.oid, true) FROM pg_rewrite AS r JOIN ours AS t ON t.oid = r.ev_class
UNION ALL
SELECT 'row policy', lower(p.polname), t.name, COALESCE(pg_get_expr(p.polqual, p.polrelid), '') FROM pg_policy AS p JOIN ours AS t ON t.oid = p.polrelid
UNION ALL
SELECT 'setting', 'session_replication_role', 'catalog', 'of ' || CASE WHEN s.setrole = 0 THEN 'all roles' ELSE 'role ' || s.setrole::regrole END
FROM pg_db_role_setting AS s WHERE 'session_replication_role=replica' = ANY (s.setconfig)
    AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT 'setting', 'session_replication_role', 'catalog', 'of this session' WHERE current_setting('session_replication_role') = 'replica'
UNION ALL
SELECT 'view', lower(relname), lower(relname), '' FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v'`,
	lowest: -1 << 63,
	wanted: []string{
		"unique index pk_msgkey", "unique index idx_msgsaggregate", "unique index idx_msgseventid", "unique index idx_msgsposition", "unique index idx_channelslivename",
		"index idx_msgstime", "index idx_msgstypeposition", "view events", "view consumer_status", "view parked_messages", "view audit_log", "view erasure_log",
		"trigger events_are_immutable", "trigger events_are_not_deleted", "trigger events_are_not_truncated",
		"trigger events_are_erased", "trigger tags_are_immutable", "trigger tags_are_not_updated", "trigger tags_are_not_truncated",
		"trigger channels_keep_events_update", "trigger channels_keep_events_delete", "trigger channels_keep_events_truncate",
		"trigger audit_is_immutable", "trigger audit_is_not_truncated", "trigger appenders_are_immutable", "trigger appenders_are_not_truncated", "trigger heads_are_immutable", "trigger heads_are_not_truncated",
		"trigger erasures_are_immutable", "trigger erasures_are_not_deleted", "trigger erasures_are_not_truncated",
	},
	// PostgreSQL shows its own wording of a trigger.
	defined: map[string]string{
		"trigger events_are_immutable":          `CREATE TRIGGER events_are_immutable BEFORE UPDATE ON messages FOR EACH ROW WHEN (old.event_type IS NOT NULL AND ((old."position" IS NOT NULL OR new."position" IS NULL) AND (old.chain IS NOT NULL OR new.chain IS NULL) OR old."position" IS NOT NULL AND old."position" IS DISTINCT FROM new."position" OR old.chain IS NOT NULL AND old.chain IS DISTINCT FROM new.chain OR old.id IS DISTINCT FROM new.id OR old.seq IS DISTINCT FROM new.seq OR old."timestamp" IS DISTINCT FROM new."timestamp" OR old.size IS DISTINCT FROM new.size OR old.data IS DISTINCT FROM new.data OR old.event_id IS DISTINCT FROM new.event_id OR old.aggregate_type IS DISTINCT FROM new.aggregate_type OR old.aggregate_id IS DISTINCT FROM new.aggregate_id OR old.event_version IS DISTINCT FROM new.event_version OR old.event_type IS DISTINCT FROM new.event_type OR old.event_data IS DISTINCT FROM new.event_data OR old.metadata IS DISTINCT FROM new.metadata OR old.tags IS DISTINCT FROM new.tags OR old.appender IS DISTINCT FROM new.appender OR old.erased IS DISTINCT FROM new.erased) AND (new.erased IS NULL OR new.event_data IS NOT NULL OR new.metadata IS NOT NULL OR new.tags IS NOT NULL OR (old.chain IS NULL) <> (new.chain IS NULL) OR old.chain IS NOT NULL AND (octet_length(new.chain) <> 64 OR substr(new.chain, octet_length(new.chain) - 31) <> substr(old.chain, octet_length(old.chain) - 31) OR octet_length(old.chain) = 64 AND new.chain <> old.chain) OR old.id IS DISTINCT FROM new.id OR old.seq IS DISTINCT FROM new.seq OR old."timestamp" IS DISTINCT FROM new."timestamp" OR old."position" IS DISTINCT FROM new."position" OR old.event_id IS DISTINCT FROM new.event_id OR old.aggregate_type IS DISTINCT FROM new.aggregate_type OR old.aggregate_id IS DISTINCT FROM new.aggregate_id OR old.event_version IS DISTINCT FROM new.event_version OR old.event_type IS DISTINCT FROM new.event_type OR old.appender IS DISTINCT FROM new.appender)) EXECUTE FUNCTION eventstore_refuse_change()`,
		"trigger events_are_not_deleted":        "CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON messages FOR EACH ROW WHEN (old.event_type IS NOT NULL) EXECUTE FUNCTION eventstore_refuse_change()",
		"trigger tags_are_immutable":            "CREATE TRIGGER tags_are_immutable AFTER DELETE ON eventtags REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_tags()",
		"trigger tags_are_not_updated":          "CREATE TRIGGER tags_are_not_updated BEFORE UPDATE ON eventtags FOR EACH ROW EXECUTE FUNCTION eventstore_refuse_change()",
		"trigger events_are_erased":             "CREATE TRIGGER events_are_erased AFTER UPDATE ON messages REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_erased()",
		"trigger tags_are_not_truncated":        "CREATE TRIGGER tags_are_not_truncated BEFORE TRUNCATE ON eventtags FOR EACH STATEMENT EXECUTE FUNCTION eventstore_refuse_change()",
		"trigger events_are_not_truncated":      "CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON messages FOR EACH STATEMENT EXECUTE FUNCTION eventstore_refuse_truncate()",
		"trigger channels_keep_events_update":   "CREATE TRIGGER channels_keep_events_update AFTER UPDATE ON channels FOR EACH ROW WHEN (new.maxseq < old.maxseq OR new.maxseq IS NULL AND old.maxseq IS NOT NULL OR new.id <> old.id OR new.name::text <> old.name::text OR new.deleted IS DISTINCT FROM old.deleted AND new.deleted IS DISTINCT FROM false) EXECUTE FUNCTION eventstore_keep_channel()",
		"trigger channels_keep_events_delete":   "CREATE TRIGGER channels_keep_events_delete BEFORE DELETE ON channels FOR EACH ROW EXECUTE FUNCTION eventstore_keep_channel()",
		"trigger channels_keep_events_truncate": "CREATE TRIGGER channels_keep_events_truncate BEFORE TRUNCATE ON channels FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_channels()",
		"trigger audit_is_immutable":            "CREATE TRIGGER audit_is_immutable BEFORE DELETE OR UPDATE ON auditentries FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger appenders_are_immutable":       "CREATE TRIGGER appenders_are_immutable BEFORE DELETE OR UPDATE ON appenders FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger appenders_are_not_truncated":   "CREATE TRIGGER appenders_are_not_truncated BEFORE TRUNCATE ON appenders FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger heads_are_immutable":           "CREATE TRIGGER heads_are_immutable BEFORE DELETE OR UPDATE ON chainheads FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger heads_are_not_truncated":       "CREATE TRIGGER heads_are_not_truncated BEFORE TRUNCATE ON chainheads FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger audit_is_not_truncated":        "CREATE TRIGGER audit_is_not_truncated BEFORE TRUNCATE ON auditentries FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit()",
		"trigger erasures_are_immutable":        "CREATE TRIGGER erasures_are_immutable BEFORE UPDATE ON erasures FOR EACH ROW WHEN (old.id IS DISTINCT FROM new.id OR old.requested IS DISTINCT FROM new.requested OR old.principal IS DISTINCT FROM new.principal OR old.reason IS DISTINCT FROM new.reason OR old.state = 'done'::text OR old.state = 'erased'::text AND new.state = 'pending'::text) EXECUTE FUNCTION eventstore_keep_erasure()",
		"trigger erasures_are_not_deleted":      "CREATE TRIGGER erasures_are_not_deleted BEFORE DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION eventstore_keep_erasure()",
		"trigger erasures_are_not_truncated":    "CREATE TRIGGER erasures_are_not_truncated BEFORE TRUNCATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_erasure()",
	},
	definition: postgresFunction,
	defines:    "function",
}
