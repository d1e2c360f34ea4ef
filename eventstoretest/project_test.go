package eventstoretest_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

func balances(t *testing.T) *eventstore.Projector {
	t.Helper()
	db := eventstoretest.Database(t)
	if _, err := db.Exec("CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL, version INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	registry := eventstore.NewRegistry()
	eventstore.Register[deposited](registry, "Deposited")
	return &eventstore.Projector{
		Name: "balances", DB: db, Dialect: eventstore.SQLite, Registry: registry,
		Apply: func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO balances VALUES (?, ?, ?)
				ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents, version = excluded.version`, e.AggregateID, e.Data.(deposited).Cents, e.Version)
			return err
		},
	}
}

func wantBalance(t *testing.T, db *sql.DB, account string, cents int64, version uint64) {
	t.Helper()
	var c int64
	var v uint64
	if err := db.QueryRow("SELECT cents, version FROM balances WHERE account = ?", account).Scan(&c, &v); err != nil || c != cents || v != version {
		t.Errorf("account %s has %d cents at version %d, %v", account, c, v, err)
	}
}

func TestProjectGivenEvents(t *testing.T) {
	t.Parallel()
	p := balances(t)
	eventstoretest.Project(t, p,
		eventstore.NewEvent{AggregateID: "a", Data: deposited{5}},
		eventstore.NewEvent{AggregateID: "b", Data: deposited{7}},
		eventstore.NewEvent{AggregateID: "a", Data: deposited{5}})
	wantBalance(t, p.DB, "a", 10, 2)
	wantBalance(t, p.DB, "b", 7, 1)

	r := &recorder{TB: t}
	eventstoretest.Project(r, balances(t), eventstore.NewEvent{AggregateID: "a", Data: withdrawn{5}})
	if !r.failed || !strings.Contains(r.text, "not registered") {
		t.Errorf("an unknown type: %s", r.text)
	}
}

// tallied is the second schema version of its type: the first was in euros.
type (
	talliedEuros struct{ Euros int64 }
	tallied      struct{ Cents int64 }
)

func (tallied) Tags() []string { return []string{"tally"} }

// TestProjectGivenMetadata: a given event with metadata and tags of its own keeps its schema version, and has each tag once, as when it is
// stored.
func TestProjectGivenMetadata(t *testing.T) {
	t.Parallel()
	registry := eventstore.NewRegistry()
	eventstore.Register[talliedEuros](registry, "Tallied")
	eventstore.Register[tallied](registry, "Tallied", eventstore.SchemaVersion(2))
	eventstore.Upcast(registry, func(old talliedEuros) (tallied, error) { return tallied{100 * old.Euros}, nil })
	var got []string
	p := &eventstore.Projector{
		Name: "tallies", DB: eventstoretest.Database(t), Dialect: eventstore.SQLite, Registry: registry,
		Apply: func(_ context.Context, _ *sql.Tx, e *eventstore.Event) error {
			got = append(got, fmt.Sprint(e.Data, e.Tags, e.Metadata))
			return nil
		},
	}
	copied := map[string]string{"user": "ada", eventstore.MetadataSchemaVersion: "7"}
	eventstoretest.Project(t, p,
		eventstore.NewEvent{AggregateID: "a", Data: tallied{5}, Metadata: copied, Tags: []string{"tally", "more"}},
		eventstore.NewEvent{AggregateID: "a", Data: talliedEuros{5}, Metadata: copied})
	want := []string{"{5} [tally more] map[schema_version:2 user:ada]", "{500} [] map[user:ada]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProjectStoredEvents(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	mustAppend(t, client, deposit("1"))
	p := balances(t)
	p.Source = client.Source(channel, eventstore.Filter{})
	eventstoretest.Project(t, p)
	wantBalance(t, p.DB, "a", 5, 1)
	mustAppend(t, client, deposit("2"))
	eventstoretest.Project(t, p)
	wantBalance(t, p.DB, "a", 10, 2)
}
