package stores_test

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// PostgreSQL databases with an encoding of their own.
func TestEncodings(t *testing.T) {
	t.Parallel()
	for encoding, good := range map[string]string{"LATIN1": "é", "WIN1252": "é", "LATIN2": "ő", "KOI8R": "ж"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			storetest.Encoding(t, stores.Options{Driver: "postgres", Source: encoded(t, encoding), Logger: logger(t)}, good, "日")
		})
	}
}

// encoded returns the URL of a fresh database with an encoding.
func encoded(t *testing.T, encoding string) string {
	t.Helper()
	source, err := url.Parse(databases.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", source.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	name := strings.TrimPrefix(source.Path, "/") + "_" + strings.ToLower(encoding)
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name+" ENCODING '"+encoding+"' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	source.Path = "/" + name
	return source.String()
}
