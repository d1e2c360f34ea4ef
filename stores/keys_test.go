package stores_test

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Tools for change data capture publish all tables, and PostgreSQL updates none without a key then.
func TestPublicationOfAllTables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, stores.Options, ...string){"new": storetest.KeysOfNew, "of NATS Streaming": storetest.Keys} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, stores.Options{Driver: "postgres", Source: databases.Postgres(t), Logger: logger(t)},
				"CREATE PUBLICATION everything FOR ALL TABLES")
		})
	}
}

// Clusters and hosted databases demand a key of each table. MySQL's setting is sql_require_primary_key; this is MariaDB's.
func TestRequiredKeys(t *testing.T) {
	t.Parallel()
	server := databases.Own(t, databases.KindMySQL)
	o := stores.Options{Driver: "mysql", Logger: logger(t)}
	for _, name := range []string{"former", "recent"} {
		if err := server.CreateDatabase(name); err != nil {
			t.Fatal(err)
		}
	}
	o.Source = server.DSN("former")
	storetest.Keys(t, o, "SET GLOBAL innodb_force_primary_key = ON")
	o.Source = server.DSN("recent")
	storetest.KeysOfNew(t, o)
}
