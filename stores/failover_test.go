package stores_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A commit is not acknowledged if an administrator cancelled its wait for the standby, although PostgreSQL reports it
// as committed.
func TestCommitWithoutStandby(t *testing.T) {
	t.Parallel()
	server := databases.Own(t, databases.KindPostgres)
	s, c := leader(t, stores.Options{Driver: "postgres", Source: server.DSN("postgres"), Logger: logger(t)})
	if err := server.Synchronise("nobody"); err != nil {
		t.Fatal(err)
	}
	stop, cancelled := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { cancelled <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			count := text(t, server, "SELECT COUNT(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			if count != "0" {
				n++
			}
		}
	}()
	n := 0
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); { // the server applies the setting a moment later
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = s.Append(ctx, []stores.Append{{Channel: c, Payload: []byte("n")}})
		cancel()
		if err != nil {
			break
		}
		n++
	}
	if !errors.Is(err, stores.ErrUnavailable) || !errors.Is(err, stores.ErrOutcomeUnknown) {
		t.Errorf("append without a standby, after %d: %v", n, err)
	}
	if err := s.RenewLease(shortly(t)); !errors.Is(err, stores.ErrUnavailable) {
		t.Errorf("renewal of the lease without a standby: %v", err)
	}
	close(stop)
	if <-cancelled == 0 {
		t.Error("no commit was cancelled")
	}
	if err := server.Synchronise(""); err != nil {
		t.Fatal(err)
	}
	results, err := s.Append(t.Context(), []stores.Append{{Channel: c, Payload: []byte("last")}})
	if err != nil || results[0].Sequence != uint64(n+2) {
		t.Fatalf("%+v (%v), want sequence %d after what was committed without a standby", results, err, n+2)
	}
}

// A restarted former primary accepts writes, but lacks what was acknowledged since: the store does not use it.
func TestFormerPrimary(t *testing.T) {
	t.Parallel()
	former, next := databases.Synchronous(t)
	source := databases.Hosts(former, next, "postgres")
	s, c := leader(t, stores.Options{Driver: "postgres", Source: source, Logger: logger(t)})
	add := func(ctx context.Context, want int) error {
		results, err := s.Append(ctx, []stores.Append{{Channel: c, Payload: fmt.Append(nil, want)}})
		if err == nil && results[0].Sequence != uint64(want) {
			t.Fatalf("sequence %d, want %d", results[0].Sequence, want)
		}
		return err
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(add(t.Context(), 1))
	ok(former.Kill())
	ok(next.Promote())
	ok(add(t.Context(), 2))

	// Someone configured it so that it would even confirm commits.
	ok(former.Restart())
	ok(former.Synchronise(""))
	lease := text(t, former, "SELECT id || tick FROM StoreLock")
	text(t, next, "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'postgres'")
	ok(add(t.Context(), 3))
	ok(next.Shutdown())
	for deadline := time.Now().Add(time.Minute); ; {
		err := add(shortly(t), 4)
		if !errors.Is(err, stores.ErrUnavailable) {
			t.Fatalf("append while only the former primary is there: %v", err)
		}
		if strings.Contains(err.Error(), "no longer the primary") {
			break
		}
		if time.Now().After(deadline) { // on a busy machine, there may have been no time to ask it sooner
			t.Fatalf("append while only the former primary is there: %v", err)
		}
	}
	if messages, err := s.Read(t.Context(), c, 1, 10, 10, 1<<20); err == nil {
		t.Fatalf("read %d messages from the former primary", len(messages))
	}
	ok(next.Restart())
	ok(add(t.Context(), 4))
	if got := text(t, former, "SELECT id || tick FROM StoreLock"); got != lease {
		t.Errorf("the former primary was written: lease %s, was %s", got, lease)
	}
}

// leader opens a store that holds the lease, with a channel.
func leader(t *testing.T, o stores.Options) (*stores.Store, *stores.Channel) {
	t.Helper()
	s, err := stores.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if held, _, err := s.TryLease(t.Context(), "leader", stores.Lease{}); err != nil || !held {
		t.Fatal(held, err)
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

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// text asks a server for one value.
func text(t *testing.T, s *databases.Server, query string) string {
	t.Helper()
	db, err := sql.Open("postgres", s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var value string
	if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
