package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A client that reads from a standby sees what it has stored, if it names the position.
func TestAtLeast(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		standby := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", s.driver, "-sql_source", s.source, "-store_timeout", "20s",
			"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-grpc_standby_reads")
		standby.Launch()
		standby.WaitLog(t, "Standby serves reads")
		c, err := eventstore.New(eventstore.Options{URLs: []string{s.api(), fmt.Sprint("http://127.0.0.1:", port)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		accounts := &eventstore.Repository[account]{Client: c, Channel: channel, AggregateType: "Account", Registry: registry(), Apply: apply}
		// A snapshot that the standby does not know of yet is of this log all the same.
		snapshotted := *accounts
		db, dialect := s.readModel()
		snapshots := &eventstore.SQLSnapshots{DB: db, Dialect: dialect}
		if err := snapshots.CreateTable(patient(t)); err != nil {
			t.Fatal(err)
		}
		snapshotted.Snapshots, snapshotted.SnapshotEvery = snapshots, 1
		snapshotted.SnapshotFailed = func(err error) { t.Error(err) }
		behind := snapshotted
		behind.Client = c.WithStandbyReads(0, nil)
		answers := 0
		reading := c.WithStandbyReads(0, func(eventstore.Staleness) { answers++ })
		for n := range 20 {
			result, err := accounts.Execute(patient(t), "a", func(account, uint64) ([]any, error) { return []any{deposited{1}}, nil })
			if err != nil {
				t.Fatal(err)
			}
			at := result.Position
			if _, version, err := snapshotted.Load(patient(t), "a"); err != nil || version != uint64(n)+1 {
				t.Fatalf("version %d, %v", version, err)
			}
			if _, version, err := behind.Load(patient(t), "a"); err != nil || version != uint64(n)+1 {
				t.Fatalf("with the snapshot: version %d, %v", version, err)
			}
			events, err := reading.AtLeast(at).Load(patient(t), channel, "Account", "a", 1)
			if err != nil || len(events) != n+1 || events[n].Position != at {
				t.Fatalf("%d events after position %d, %v", len(events), at, err)
			}
		}
		if answers != 20 {
			t.Errorf("the standby answered %d times", answers)
		}
	})
}

// A read model of events of several channels is asked only once it contains what its reader has stored.
func TestWaitFor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.client()
		db, dialect := s.readModel()
		if _, err := db.ExecContext(patient(t), "CREATE TABLE seen (channel VARCHAR(99), sequence BIGINT)"); err != nil {
			t.Fatal(err)
		}
		insert := "INSERT INTO seen VALUES (?, ?)"
		if s.driver == "postgres" {
			insert = "INSERT INTO seen VALUES ($1, $2)"
		}
		stop := errors.New("stop")
		projector := &eventstore.Projector{
			Name: "seen", DB: db, Dialect: dialect, Source: c.SourceAll(eventstore.AllOf(eventstore.QueryItem{Tags: []string{"seen"}})),
			Apply: func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
				_, err := tx.ExecContext(ctx, insert, e.Channel, e.Sequence)
				return err
			},
		}
		run := func() (end func()) {
			ctx, cancel := context.WithCancelCause(patient(t))
			ended := make(chan error, 1)
			go func() { ended <- projector.Run(ctx) }()
			return func() {
				cancel(stop)
				if err := <-ended; !errors.Is(err, stop) {
					t.Errorf("the projector ended: %v", err)
				}
			}
		}
		const n = 10
		end := run()
		for i := range n {
			tags := []string{"seen"}
			if i%3 == 2 {
				tags = nil // the projection passes it
			}
			positions, err := c.Append(patient(t), names, []eventstore.NewEvent{
				{Type: "T", AggregateID: "a", Tags: tags}, {Channel: shows, Type: "T", AggregateID: "b", Tags: tags},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := projector.WaitFor(patient(t), positions[1].Position); err != nil {
				t.Fatal(err)
			}
			var rows, last int
			if err := db.QueryRowContext(patient(t), "SELECT COUNT(*), MAX(sequence) FROM seen").Scan(&rows, &last); err != nil || rows != 2*(i+1-(i+1)/3) {
				t.Fatalf("%d rows after append %d, %v", rows, i, err)
			}
			if i == n/2 {
				end()
				end = run() // from the checkpoint
			}
		}
		end()
		ctx, cancel := context.WithCancelCause(patient(t))
		cancel(stop)
		if err := projector.WaitFor(ctx, 2*n+1); !errors.Is(err, stop) {
			t.Errorf("waiting for an event to come: %v", err)
		}
	})
}
