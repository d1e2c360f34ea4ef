package stores_test

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A pooler that gives each transaction another connection loses the session's settings, such as durability.
func TestPooler(t *testing.T) {
	t.Parallel()
	server := databases.Own(t, databases.KindPostgres)
	for mode, want := range map[string]string{"session": "", "transaction": "pool_mode = session", "statement": "pool_mode = session"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o := stores.Options{Driver: "postgres", Source: databases.PgBouncer(t, server, mode).DSN("postgres"), Logger: logger(t)}
			if want == "" {
				leader(t, o)
				return
			}
			for range 3 {
				s, err := stores.Open(t.Context(), o)
				if err == nil {
					s.Close()
					t.Fatal("opened the database through a pooler of transactions")
				}
				if !strings.Contains(err.Error(), want) {
					t.Fatal(err)
				}
			}
		})
	}
}
