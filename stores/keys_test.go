package stores_test

import (
	"database/sql"
	"strings"
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

// Clusters and hosted databases demand a key of each table, or add one that no statement sees.
func TestRequiredKeys(t *testing.T) {
	t.Parallel()
	server := databases.Own(t, databases.KindMySQL)
	for _, name := range []string{"former", "recent", "invisible"} {
		if err := server.CreateDatabase(name); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := sql.Open("mysql", server.DSN("mysql"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var version string
	if err := admin.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	o := stores.Options{Driver: "mysql", Logger: logger(t)}
	require := "SET GLOBAL innodb_force_primary_key = ON"
	if !strings.Contains(version, "MariaDB") {
		require = "SET GLOBAL sql_require_primary_key = ON"
		if _, err := admin.ExecContext(t.Context(), "SET GLOBAL sql_generate_invisible_primary_key = ON"); err != nil {
			t.Fatal(err)
		}
		o.Source = server.DSN("invisible")
		storetest.Keys(t, o)
		if _, err := admin.ExecContext(t.Context(), "SET GLOBAL sql_generate_invisible_primary_key = OFF"); err != nil {
			t.Fatal(err)
		}
	}
	o.Source = server.DSN("former")
	storetest.Keys(t, o, require)
	o.Source = server.DSN("recent")
	storetest.KeysOfNew(t, o)
}
