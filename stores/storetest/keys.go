package storetest

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Keys opens a database of NATS Streaming after the statements in require, which make the server demand a key of each table.
func Keys(t *testing.T, o stores.Options, require ...string) {
	db := raw(t, o)
	for _, text := range natsStreaming[o.Driver] {
		exec(t, db, text)
	}
	KeysOfNew(t, o, require...)
}

// KeysOfNew is Keys for an empty database.
func KeysOfNew(t *testing.T, o stores.Options, require ...string) {
	db := raw(t, o)
	for _, text := range require {
		exec(t, db, text)
	}
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), "1")
	s, _ = restart(t, s, o)
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, s.Channel(c.Name())), event{aggregate: "a"}.on(t, s.Channel(c.Name()))), "2", "3")
	without := map[string]string{
		"postgres": `SELECT string_agg(relname, ', ') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
			AND NOT EXISTS (SELECT 1 FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)`,
		"mysql": `SELECT GROUP_CONCAT(table_name) FROM information_schema.tables AS t WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
			AND NOT EXISTS (SELECT 1 FROM information_schema.table_constraints AS c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY')`,
	}[o.Driver]
	if tables := queryText(t, db, without); tables != "NULL" {
		t.Errorf("tables without a key: %s", tables)
	}
	exec(t, db, "UPDATE StoreLock SET tick = tick + 1")
	exec(t, db, "DELETE FROM Clients")
}
