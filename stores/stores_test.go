package stores_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func TestMain(m *testing.M) { databases.Main(m) }

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) stores.Options {
		return stores.Options{Driver: "sqlite", Source: filepath.Join(t.TempDir(), "eventstore.db"), Logger: logger(t)}
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) stores.Options {
		return stores.Options{Driver: "postgres", Source: databases.Postgres(t), Logger: logger(t), MaxOpenConns: 4}
	})
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) stores.Options {
		return stores.Options{Driver: "mysql", Source: databases.MySQL(t), Logger: logger(t), MaxOpenConns: 4}
	})
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
