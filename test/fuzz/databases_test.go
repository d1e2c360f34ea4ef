package fuzz

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		patience = 8 * time.Second
	}
	databases.Main(m)
}

// TestRequestsOnDatabases sends the seeds of FuzzRequests to servers on each database. Databases differ in the text that
// they accept.
func TestRequestsOnDatabases(t *testing.T) {
	eachDatabase(t, func(t *testing.T, driver, source string) {
		w := newWitness(t, driver, source)
		for _, s := range requestSeeds(t) {
			t.Run(fmt.Sprintf("%s %.100x", targets[s.target].name, s.data), func(t *testing.T) {
				w.use(t)
				w.send(s.target, s.data)
				w.live()
			})
		}
		w.stop(t)
	})
}

// TestSequencesOnDatabases runs the seeds of FuzzSequences on each database.
func TestSequencesOnDatabases(t *testing.T) {
	eachDatabase(t, func(t *testing.T, driver, source string) {
		i := startInstance(t, driver, source)
		for n, s := range sequenceSeeds {
			m := newModel(t, i, fmt.Sprint(n))
			m.run([]byte(s))
			m.finish()
		}
		i.stop(t)
	})
}

// eachDatabase runs a test on one database after another, because the tests count goroutines.
func eachDatabase(t *testing.T, test func(t *testing.T, driver, source string)) {
	for driver, source := range map[string]func(testing.TB) string{
		"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL,
	} {
		t.Run(driver, func(t *testing.T) { test(t, driver, source(t)) })
	}
}
