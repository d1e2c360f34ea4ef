package stores_test

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
	"testing"
	"time"

	sqlitedriver "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A connection that was made while the file was read only is left: the store writes as soon as the file is writable.
func TestSQLiteWritableAgain(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	o := stores.Options{Driver: "sqlite", Source: source}
	var readOnly atomic.Bool
	o.WrapConnector = func(c driver.Connector) driver.Connector {
		unwritable, err := sqlitedriver.NewConnector("file:" + source + "?_query_only=1&_txlock=immediate") // the error is that of such a file
		if err != nil {
			t.Error(err)
		}
		return &eitherConnector{Connector: c, readOnly: &readOnly, unwritable: unwritable}
	}
	o.ConnMaxLifetime = time.Hour
	s, err := stores.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	readOnly.Store(true)
	if s, err = stores.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := takeLease(t, s); err == nil {
		t.Fatal("wrote through a connection that is read only")
	}
	readOnly.Store(false)
	if err := takeLease(t, s); err != nil {
		t.Errorf("after the file is writable: %v", err)
	}
}

func takeLease(t *testing.T, s *stores.Store) error {
	_, _, err := s.TryLease(t.Context(), "server", stores.Lease{})
	return err
}

type eitherConnector struct {
	driver.Connector
	readOnly   *atomic.Bool
	unwritable driver.Connector
}

func (c *eitherConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.readOnly.Load() {
		return c.unwritable.Connect(ctx)
	}
	return c.Connector.Connect(ctx)
}
