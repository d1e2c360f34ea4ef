package test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// TestErasedCommands: commands of the Go library go on after events of their aggregate were erased, the first, the last, or others, on the
// state that the rest of the events give. A snapshot is dropped if its last event is gone, and otherwise keeps what it saw.
func TestErasedCommands(t *testing.T) {
	t.Parallel()
	type step struct{ N int }
	type steps struct{ Sum, Count int }
	blocks := page.Open(t, "docs/operate/erasure.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-grpc_host", "127.0.0.1", "-grpc_port", "-1")
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "snapshots.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: eventstore.SQLite}
		if err := snapshots.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
		registry := eventstore.NewRegistry()
		eventstore.Register[step](registry, "Step")
		repository := func() *eventstore.Repository[steps] {
			client, err := eventstore.New(eventstore.Options{URLs: []string{apiLine.FindStringSubmatch(s.Log.String())[1]}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			return &eventstore.Repository[steps]{Client: client, Channel: orders, AggregateType: "Order", Registry: registry,
				Apply: func(s steps, e *eventstore.Event) steps { return steps{s.Sum + e.Data.(step).N, s.Count + 1} }, SnapshotEvery: 1}
		}
		// Each event of an aggregate says how many came before it: 0 to 4. Then some are erased.
		cases := map[string]struct {
			from, to    int // versions
			snapshotted steps
		}{
			"first":  {1, 2, steps{10, 5}},
			"middle": {2, 3, steps{10, 5}},
			"last":   {4, 5, steps{3, 3}},
			"all":    {1, 5, steps{}},
		}
		before := repository()
		for id := range cases {
			for n := range 5 {
				if _, err := before.Execute(t.Context(), id, func(s steps, _ uint64) ([]any, error) { return []any{step{s.Count}}, nil }, eventstore.Command(fmt.Sprint(id, n))); err != nil {
					t.Fatal(err)
				}
			}
			before.Snapshots = snapshots
			if _, _, err := before.Load(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			before.Snapshots = nil
		}
		s.Stop()
		for id, it := range cases {
			erase(t, blocks, driver, source, fmt.Sprintf("(aggregate_id = '%s' AND event_version BETWEEN %d AND %d)", id, it.from, it.to))
		}
		s.Restart()

		after := repository()
		for id, it := range cases {
			left, last := steps{}, 0
			for version := 1; version <= 5; version++ {
				if version < it.from || version > it.to {
					left, last = steps{left.Sum + version - 1, left.Count + 1}, version
				}
			}
			for _, snapshotted := range []bool{true, false} {
				want := left
				var failed []error
				after.SnapshotFailed = func(err error) { failed = append(failed, err) }
				if after.Snapshots = nil; snapshotted {
					after.Snapshots, want = snapshots, it.snapshotted
				}
				state, version, err := after.Load(t.Context(), id)
				if err != nil || state != want || version != uint64(last) {
					t.Errorf("%s, snapshot %v: version %d of %+v, want %d of %+v, %v", id, snapshotted, version, state, last, want, err)
				}
				if dropped := snapshotted && it.to == 5; len(failed) != 0 != dropped || dropped && !errors.Is(failed[0], eventstore.ErrGap) {
					t.Errorf("%s, snapshot %v: reported %v", id, snapshotted, failed)
				}
			}
			// The command that an erased event stored is executed again if that was its first event; others are not.
			result, err := after.Execute(t.Context(), id, func(s steps, _ uint64) ([]any, error) { return []any{step{100}}, nil }, eventstore.Command(fmt.Sprint(id, 4)))
			if erased := it.to == 5; err != nil || result.Repeated == erased {
				t.Errorf("%s: %+v, %v", id, result, err)
			}
			if result, err = after.Execute(t.Context(), id, func(s steps, version uint64) ([]any, error) { return []any{step{1000}}, nil }); err != nil || result.State.Sum < 1000 {
				t.Errorf("%s: %+v, %v", id, result, err)
			}
		}
	})
}
