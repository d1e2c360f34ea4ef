package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// takeNumbers takes the positions of all events, as a server left them that did not know positions.
func takeNumbers(t *testing.T, driver, source string) {
	t.Helper()
	guard, of := "events_are_immutable_update", ""
	if driver == "postgres" {
		guard, of = "events_are_immutable", " ON Messages"
	}
	for _, text := range []string{"DROP TRIGGER " + guard + of, "UPDATE Messages SET position = NULL", "UPDATE StoreLock SET position = NULL", "DELETE FROM TimeSteps", guardOf(driver, guard)} {
		query(t, driver, source, text)
	}
}

// The command migrate gives positions to the events of an older server, and says so.
func TestMigrateNumbers(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		publish(t, sc, "eventstore.other", event(t, "A", "T"))
		publish(t, sc, orders, event(t, "A", "T"), event(t, "A", "T"))
		publish(t, sc, "eventstore.other", event(t, "A", "T"))
		publish(t, sc, "plain", []byte("x"))
		s.Stop()
		const order = "SELECT channel, sequence, position FROM events ORDER BY position"
		want := query(t, driver, source, order)
		takeNumbers(t, driver, source)
		migrate := []string{"migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", source}
		has(t, command(t, append(migrate, "-dry_run")...), "Up to 5 events would get positions, in about 1s.")
		has(t, command(t, migrate...), "4 events got their positions in ", "The schema is up to date.", "Done.")
		if got := query(t, driver, source, order); !slices.Equal(got, want) || len(got) != 4 {
			t.Errorf("order %q, want %q", got, want)
		}
		if again := command(t, append(migrate, "-dry_run")...) + command(t, migrate...); strings.Contains(again, "positions") {
			t.Errorf("the second time:\n%s", again)
		}
		harness.Verify(t, driver, source)
	})
}
