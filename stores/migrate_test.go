package stores_test

import (
	"bytes"
	"database/sql"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	migrations "github.com/nats-eventstore/nats-eventstore/sql"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A migration runs once, although several servers that start together with a new file have found that it is missing.
func TestSQLiteMigratedByTwo(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	files, err := migrations.Files("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", "file:"+source+"?_txlock=immediate&_journal_mode=wal")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	// The schema is behind, and no server has led yet.
	if _, err := other.ExecContext(t.Context(), files[0].Text+"; DELETE FROM StoreLock"); err != nil {
		t.Fatal(err)
	}
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files[1 : len(files)-1] { // a start would take a file with all of them for migrated
		if _, err := tx.ExecContext(t.Context(), file.Text); err != nil {
			t.Fatal(file.Path, err)
		}
	}

	started := &awaited{text: "migrating the database", seen: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		s, err := stores.Open(t.Context(), stores.Options{Driver: "sqlite", Source: source, Logger: slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), started), nil))})
		if err == nil {
			s.Close()
		}
		failed <- err
	}()
	select {
	case <-started.seen:
	case err := <-failed:
		t.Fatal("opened before the other server was ready:", err)
	}
	time.Sleep(time.Second) // for the store to have begun
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// awaited is a log that closes seen at the first line with a text.
type awaited struct {
	text string
	seen chan struct{}
	once sync.Once
}

func (a *awaited) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(a.text)) {
		a.once.Do(func() { close(a.seen) })
	}
	return len(line), nil
}
