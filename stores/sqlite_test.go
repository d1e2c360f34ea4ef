package stores_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sqlitedriver "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/verify"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// The store drops a connection made while the file was read-only, and writes as soon as the file is writable.
func TestSQLiteWritableAgain(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	o := stores.Options{Driver: "sqlite", Source: source}
	var readOnly atomic.Bool
	o.WrapConnector = func(c driver.Connector) driver.Connector {
		unwritable, err := sqlitedriver.NewConnector("file:" + source + "?_query_only=1&_txlock=immediate") // a read-only file gives the same error
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
		t.Fatal("wrote through a read-only connection")
	}
	readOnly.Store(false)
	if err := takeLease(t, s); err != nil {
		t.Errorf("after the file became writable: %v", err)
	}
}

// A write to a file that was removed or replaced, or whose log was, is not acknowledged.
func TestSQLiteFileRemoved(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(source string) error{
		"file":             os.Remove,
		"log":              func(source string) error { return os.Remove(source + "-wal") },
		"index of the log": func(source string) error { return os.Remove(source + "-shm") },
		"log replaced": func(source string) error {
			log, err := os.ReadFile(source + "-wal")
			return errors.Join(err, os.Remove(source+"-wal"), os.WriteFile(source+"-wal", log, 0o600))
		},
		"replaced": func(source string) error {
			if err := os.Rename(source, source+".old"); err != nil {
				return err
			}
			return os.WriteFile(source, nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := databases.SQLite(t)
			s, c := leading(t, source)
			message := []stores.Append{{Channel: c, Payload: []byte("x")}}
			if results, err := s.Append(t.Context(), message); err != nil || results[0].Err != nil {
				t.Fatal(results, err)
			}
			if err := remove(source); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := s.Append(ctx, message); !errors.Is(err, stores.ErrUnavailable) || !strings.Contains(err.Error(), "was removed") {
				t.Errorf("append: %v", err)
			}
			if err := s.RenewLease(ctx); !errors.Is(err, stores.ErrUnavailable) {
				t.Errorf("lease: %v", err)
			}
		})
	}
}

// The log grows while an old reader is open, which the server logs, and shrinks after the last one closes.
func TestSQLiteLog(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	var log bytes.Buffer
	s, c := leader(t, stores.Options{Driver: "sqlite", Source: source, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	const megabyte = 1 << 20
	stores.LimitWAL(s, megabyte, 2*megabyte)
	size := func() int64 {
		t.Helper()
		file, err := os.Stat(source + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return file.Size()
	}
	add := func() {
		t.Helper()
		results, err := s.Append(t.Context(), []stores.Append{{Channel: c, Payload: make([]byte, megabyte)}})
		if err != nil || results[0].Err != nil {
			t.Fatal(results, err)
		}
	}
	add()
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM Messages").Scan(&n); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		add()
	}
	if size() < 4*megabyte {
		t.Errorf("the log has %d bytes beside a reader", size())
	}
	if strings.Count(log.String(), "write-ahead log is large") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	add()
	if size() >= 2*megabyte {
		t.Errorf("the log has %d bytes after the reader", size())
	}
}

// Malformed pages are a finding, and the readable rest is verified.
func TestSQLiteCorruptFile(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s, c := leading(t, source)
	for range 300 {
		if results, err := s.Append(t.Context(), []stores.Append{{Channel: c, Payload: make([]byte, 1000)}}); err != nil || results[0].Err != nil {
			t.Fatal(results, err)
		}
	}
	s.Close()
	file, err := os.OpenFile(source, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := int64(100); i < 120; i++ { // behind those of the schema
		if _, err := file.WriteAt(bytes.Repeat([]byte{0xa5}, page), i*page); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := verify.Run(t.Context(), stores.Options{Driver: "sqlite", Source: source}, verify.Options{Limit: 10, Rules: func(string) verify.Rules { return verify.Rules{Valid: true} }})
	if err != nil {
		t.Fatal(err)
	}
	if report.FindingCount["file"] == 0 {
		t.Errorf("findings %+v", report.Findings)
	}
}

// leading returns a store on a file that leads, and a channel of it.
func leading(t *testing.T, source string) (*stores.Store, *stores.Channel) {
	t.Helper()
	s, err := stores.Open(t.Context(), stores.Options{Driver: "sqlite", Source: source})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := takeLease(t, s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateChannel(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return s, c
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

// A server that opens a new file waits for another that sets it up, where SQLite itself does not.
func TestSQLiteOpenedTogether(t *testing.T) {
	t.Parallel()
	path := databases.SQLite(t)
	busy := &busyConnector{err: sqliteBusy(t)}
	s, err := stores.Open(t.Context(), stores.Options{Driver: "sqlite", Source: path, WrapConnector: busy.wrap})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if busy.err != nil {
		t.Fatal("no connection was refused")
	}
}

// busyConnector fails once, with err.
type busyConnector struct {
	driver.Connector
	err error
}

func (c *busyConnector) wrap(inner driver.Connector) driver.Connector {
	if c.Connector == nil {
		c.Connector = inner
		return c
	}
	return inner
}

func (c *busyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.err; err != nil {
		c.err = nil
		return nil, err
	}
	return c.Connector.Connect(ctx)
}

// sqliteBusy returns the error of a locked file.
func sqliteBusy(t *testing.T) error {
	t.Helper()
	path := databases.SQLite(t)
	var pools [2]*sql.DB
	for i := range pools {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1)
		pools[i] = db
	}
	if _, err := pools[0].ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	_, err := pools[1].ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	if err == nil {
		t.Fatal("the file is not locked")
	}
	return err
}
