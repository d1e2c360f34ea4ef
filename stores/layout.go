package stores

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// relation is a table or a view that the database has under one of our names.
type relation struct {
	view    bool
	columns map[string]string // type by name
}

// column is a column of a table, and the schema version that adds it. The types are those that the dialects' texts of
// layout return; none means that any will do.
type column struct {
	table, name                 string
	since                       int64
	postgres, mysql, mysqlOther string
}

// layout is what a server relies on. NATS Streaming's own columns are only named: administrators have changed their types.
var layout = []column{
	{table: "serverinfo", name: "uniquerow", since: 1}, {table: "serverinfo", name: "id", since: 1},
	{table: "serverinfo", name: "proto", since: 1}, {table: "serverinfo", name: "version", since: 1},
	{table: "clients", name: "id", since: 1}, {table: "clients", name: "hbinbox", since: 1},
	{table: "channels", name: "id", since: 1}, {table: "channels", name: "name", since: 1},
	{table: "channels", name: "maxseq", since: 1}, {table: "channels", name: "deleted", since: 1},
	{table: "messages", name: "id", since: 1}, {table: "messages", name: "seq", since: 1},
	{table: "messages", name: "timestamp", since: 1}, {table: "messages", name: "size", since: 1}, {table: "messages", name: "data", since: 1},
	{table: "subscriptions", name: "id", since: 1}, {table: "subscriptions", name: "subid", since: 1},
	{table: "subscriptions", name: "proto", since: 1}, {table: "subscriptions", name: "deleted", since: 1},
	{table: "subspending", name: "subid", since: 1}, {table: "subspending", name: "row", since: 1},
	{table: "subspending", name: "pending", since: 1}, {table: "subspending", name: "acks", since: 1},
	{table: "storelock", name: "id", since: 1}, {table: "storelock", name: "tick", since: 1},

	{"messages", "event_id", 2, "text", "varchar(255)", ""},
	{"messages", "aggregate_type", 2, "text", "varchar(255)", ""},
	{"messages", "aggregate_id", 2, "text", "varchar(255)", ""},
	{"messages", "event_version", 2, "bigint", "bigint", ""},
	{"messages", "event_type", 2, "text", "varchar(255)", ""},
	{"messages", "event_data", 2, "jsonb", "json", "longtext"},
	{"messages", "metadata", 2, "jsonb", "json", "longtext"},
	{"channels", "msgs", 2, "bigint", "bigint", ""},
	{"channels", "bytes", 2, "bigint", "bigint", ""},
	{"relays", "stream", 5, "character varying(255)", "varchar(255)", ""},
	{"relays", "position", 5, "bytea", "longblob", ""},
	{"messages", "position", 10, "bigint", "bigint", ""},
	{"messages", "tags", 10, "jsonb", "json", "longtext"},
	{"storelock", "position", 10, "bigint", "bigint", ""},
	{"eventtags", "tag", 10, "text", "varchar(255)", ""},
	{"eventtags", "position", 10, "bigint", "bigint", ""},
	{"timesteps", "position", 10, "bigint", "bigint", ""},
	{"consumers", "consumer", 7, "bigint", "bigint", ""},
	{"consumers", "id", 7, "integer", "int", ""},
	{"consumers", "lastsent", 7, "bigint", "bigint", ""},
	{"consumers", "members", 7, "text", "mediumtext", ""},
	{"consumerspending", "consumer", 7, "bigint", "bigint", ""},
	{"consumerspending", "part", 7, "bigint", "bigint", ""},
	{"consumerspending", "pending", 7, "text", "mediumtext", ""},
	{"wildcards", "consumer", 11, "bigint", "bigint", ""},
	{"wildcards", "pattern", 11, "text", "text", ""},
	{"subscriptions", "client", 12, "text", "text", ""},
	{"subscriptions", "name", 12, "text", "text", ""},
	{"subscriptions", "kind", 12, "text", "varchar(30)", ""},
	{"namedconsumers", "consumer", 12, "bigint", "bigint", ""},
	{"namedconsumers", "channel", 12, "text", "text", ""},
	{"namedconsumers", "client", 12, "text", "text", ""},
	{"namedconsumers", "name", 12, "text", "text", ""},
	{"namedconsumers", "settings", 12, "text", "mediumtext", ""},
	{"parked", "consumer", 12, "bigint", "bigint", ""},
	{"parked", "seq", 12, "bigint", "bigint", ""},
	{"parked", "deliveries", 12, "bigint", "bigint", ""},
	{"parked", "first_delivery", 12, "bigint", "bigint", ""},
	{"parked", "last_delivery", 12, "bigint", "bigint", ""},
	{"parked", "ordering_key", 12, "text", "varchar(255)", ""},
	{"parked", "reason", 12, "text", "text", ""},
	{"consumersredelivered", "consumer", 12, "bigint", "bigint", ""},
	{"consumersredelivered", "part", 12, "bigint", "bigint", ""},
	{"consumersredelivered", "counts", 12, "text", "mediumtext", ""},
	{"cancelleddeliveries", "id", 12, "integer", "int", ""},
	{"cancelleddeliveries", "seq", 12, "bigint", "bigint", ""},
	{"messages", "appender", 15, "bigint", "bigint", ""},
	{"appenders", "id", 15, "bigint", "bigint", ""},
	{"appenders", "principal", 15, "text", "varchar(255)", ""},
	{"appenders", "client_id", 15, "text", "varchar(255)", ""},
	{"appenders", "address", 15, "text", "varchar(255)", ""},
	{"auditentries", "id", 12, "bigint", "bigint", ""},
	{"auditentries", "time", 12, "bigint", "bigint", ""},
	{"auditentries", "principal", 12, "text", "text", ""},
	{"auditentries", "address", 12, "text", "text", ""},
	{"auditentries", "action", 12, "text", "text", ""},
	{"auditentries", "target", 12, "text", "text", ""},
	{"auditentries", "detail", 12, "text", "text", ""},
	{"messages", "erased", 14, "bigint", "bigint", ""},
	{"erasures", "id", 14, "bigint", "bigint", ""},
	{"erasures", "requested", 14, "bigint", "bigint", ""},
	{"erasures", "principal", 14, "text", "text", ""},
	{"erasures", "reason", 14, "text", "text", ""},
	{"erasures", "selector", 14, "text", "text", ""},
	{"erasures", "state", 14, "text", "varchar(30)", ""},
	{"erasures", "events", 14, "bigint", "bigint", ""},
	{"erasures", "copies", 14, "bigint", "bigint", ""},
	{"erasures", "erased", 14, "bigint", "bigint", ""},
	{"erasedmessages", "erasure", 14, "bigint", "bigint", ""},
	{"erasedmessages", "id", 14, "integer", "int", ""},
	{"erasedmessages", "seq", 14, "bigint", "bigint", ""},
	{"erasedmessages", "position", 14, "bigint", "bigint", ""},
	{"erasedmessages", "size", 14, "integer", "int", ""},
	{"erasedmessages", "data", 14, "bytea", "longblob", ""},
	{"messages", "chain", 16, "bytea", "varbinary", ""},
	{"erasedmessages", "chain", 16, "bytea", "varbinary", ""},
	{"chainheads", "position", 16, "bigint", "bigint", ""},
	{"chainheads", "hash", 16, "bytea", "varbinary", ""},
	{"chainheads", "time", 16, "bigint", "bigint", ""},
	{"chainheads", "cluster_id", 16, "text", "text", ""},
	{"chainheads", "public_key", 16, "bytea", "varbinary", ""},
	{"chainheads", "signature", 16, "bytea", "varbinary", ""},
}

// views are those of the schema, with columns by which they are known.
var views = []struct {
	name    string
	columns []string
}{
	{"events", []string{"channel", "sequence", "time", "event_id", "aggregate_type", "aggregate_id", "event_version", "event_type", "event_data", "metadata"}},
	{"consumer_status", []string{"channel", "client", "name", "kind", "lag_messages", "lag_seconds", "parked"}},
	{"parked_messages", []string{"channel", "client", "name", "sequence", "deliveries", "reason"}},
	{"audit_log", []string{"id", "time", "principal", "action", "target"}},
	{"erasure_log", []string{"id", "requested", "principal", "reason", "state"}},
}

// fits reports whether a column of that name may have the type.
func (c *column) fits(driver, typ string) bool {
	switch {
	case driver == "postgres" && c.postgres != "":
		return typ == c.postgres
	case driver == "mysql" && c.mysql != "":
		return typ == c.mysql || typ == c.mysqlOther
	}
	return true
}

// conflicts says why the relations of a database are not those of a schema version: another program's, those of a changed
// NATS Streaming, or what an incomplete restore left. A migration to the next versions would make things worse.
func conflicts(driver string, version int64, migrated bool, found map[string]relation) []string {
	var all []string
	for _, v := range views {
		r, ok := found[v.name]
		if !ok || r.view && r.has(v.columns) {
			continue
		}
		kind := "table"
		if r.view {
			kind = "view"
		}
		all = append(all, fmt.Sprintf("%s %q is not that of this server, which creates a view of that name: rename it, or use another database or schema", kind, v.name))
	}
	born := map[string]int64{} // by table
	for i := range layout {
		c := &layout[i]
		if since, listed := born[c.table]; !listed || c.since < since {
			born[c.table] = c.since
		}
	}
	for table, since := range born {
		if _, ok := found[table]; ok {
			continue
		}
		switch {
		case since <= version:
			all = append(all, fmt.Sprintf("table goose_db_version says that the schema is at version %d, but table %s is missing: the rest of an incomplete restore (drop all tables and restore again), or another program's goose_db_version", version, table))
		case since == 1 && table != "storelock" && !migrated && found["messages"].columns != nil:
			all = append(all, fmt.Sprintf("table %s is missing, although there are messages: restore the whole backup", table))
		}
	}
	for i := range layout {
		c := &layout[i]
		r, ok := found[c.table]
		if !ok {
			continue
		}
		typ, ok := r.columns[c.name]
		switch {
		case r.view:
			all = append(all, fmt.Sprintf("%s is a view, not the table of this server", c.table))
		case !ok && c.since <= max(version, born[c.table]):
			all = append(all, fmt.Sprintf("table %s has no column %s: another program's, or the rest of an incomplete restore", c.table, c.name))
		case ok && !c.fits(driver, typ):
			all = append(all, fmt.Sprintf("column %s of table %s has the type %s, not that of this server: another program's; rename the column", c.name, c.table, typ))
		}
	}
	return all
}

func (r relation) has(columns []string) bool {
	for _, name := range columns {
		if _, ok := r.columns[name]; !ok {
			return false
		}
	}
	return true
}

// readRelations returns what the database has under our names, by name in lower case.
func readRelations(ctx context.Context, d dialect, q querier) (map[string]relation, error) {
	found := map[string]relation{}
	err := q.query(ctx, d.layout(), func(rows *sql.Rows) error {
		var table, name, typ string
		var view bool
		if err := rows.Scan(&table, &name, &typ, &view); err != nil {
			return err
		}
		if found[table].columns == nil {
			found[table] = relation{view, map[string]string{}}
		}
		found[table].columns[name] = typ
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables' columns: %w", err)
	}
	return found, nil
}

// checkLayout returns an ErrSetup if the database holds something else than a schema version does.
func checkLayout(ctx context.Context, d dialect, driver string, q querier, version int64) error {
	found, err := readRelations(ctx, d, q)
	if err != nil {
		return err
	}
	_, migrated := found["goose_db_version"]
	all := conflicts(driver, version, migrated, found)
	_, filled := found["messages"].columns["event_type"]
	if len(all) == 0 && filled && version < eventColumns && found["relays"].columns == nil { // not if only goose_db_version was lost
		err := q.query(ctx, "SELECT 1 FROM Messages WHERE event_type IS NOT NULL LIMIT 1", func(*sql.Rows) error {
			all = append(all, "table messages already has events, which this server did not write: another program's columns event_type and so on; rename them")
			return nil
		})
		if err != nil {
			return fmt.Errorf("look for events: %w", err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrSetup, strings.Join(all, "; "))
}

// ourRelations are the names in layout, in SQL.
const ourRelations = `('serverinfo', 'clients', 'channels', 'messages', 'subscriptions', 'subspending', 'storelock', 'relays', 'consumers', 'consumerspending', 'eventtags', 'timesteps', 'wildcards', 'namedconsumers', 'parked', 'consumersredelivered', 'cancelleddeliveries', 'auditentries', 'appenders', 'chainheads', 'erasures', 'erasedmessages', 'events', 'consumer_status', 'parked_messages', 'audit_log', 'erasure_log', 'goose_db_version')`

func (*postgres) layout() string {
	return `SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), c.relkind IN ('v', 'm')
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relname IN ` + ourRelations + `
AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attname`
}

// An identifier that does not compare by bytes shows its collation.
func (*mysql) layout() string {
	return `SELECT LOWER(c.table_name), LOWER(c.column_name),
    CONCAT(LOWER(c.data_type), IF(c.data_type = 'varchar', CONCAT('(', c.character_maximum_length, ')', IF(c.collation_name LIKE '%bin', '', CONCAT(' ', c.collation_name))), '')), t.table_type LIKE '%VIEW'
FROM information_schema.columns AS c JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = DATABASE() AND LOWER(c.table_name) IN ` + ourRelations + ` ORDER BY c.table_name, c.column_name`
}

func (*sqlite) layout() string {
	return `SELECT LOWER(m.name), LOWER(c.name), c.type, m.type = 'view' FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
WHERE m.type IN ('table', 'view') AND LOWER(m.name) IN ` + ourRelations + ` ORDER BY 1, 2`
}
