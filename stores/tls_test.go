package stores_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A database proves by its certificate that it is the one that the source names.
func TestTLS(t *testing.T) {
	t.Parallel()
	for _, kind := range []databases.Kind{databases.KindPostgres, databases.KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ours, other := authority.New(t), authority.New(t)
			identity := ours.Issue("database")
			server := databases.Own(t, kind)
			if err := server.UseTLS(identity.Cert, identity.Key); err != nil {
				t.Fatal(err)
			}
			if err := server.CreateDatabase("eventstore"); err != nil {
				t.Fatal(err)
			}
			plain := server.DSN("eventstore")
			trusting := func(a *authority.Authority) string {
				if kind == databases.KindMySQL {
					return plain + "?tls_ca=" + a.File
				}
				return strings.Replace(plain, "sslmode=disable", "sslmode=verify-full&sslrootcert="+a.File, 1)
			}
			open := func(source string) (*stores.Store, error) {
				return stores.Open(t.Context(), stores.Options{Driver: string(kind), Source: source})
			}
			s, err := open(trusting(ours))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			if held, _, err := s.TryLease(t.Context(), "server", stores.Lease{}); err != nil || !held {
				t.Fatal(held, err)
			}
			if _, err := s.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			c, err := s.CreateChannel(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), []stores.Append{{Channel: c, Payload: []byte("x")}, {Channel: c}}); err != nil || c.Info().Last != 2 {
				t.Fatal(c.Info(), err)
			}
			if kind == databases.KindPostgres {
				db, err := sql.Open("postgres", plain)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = db.Close() }()
				var all, encrypted int
				err = db.QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'nats-streaming-server'").Scan(&all, &encrypted)
				if err != nil || all == 0 || all != encrypted {
					t.Errorf("%d of %d connections are encrypted (%v)", encrypted, all, err)
				}
			}
			if _, err := open(trusting(other)); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
				t.Errorf("a certificate of another authority: error %v", err)
			}
			if kind == databases.KindMySQL {
				_, address, _ := strings.Cut(plain, "tcp(")
				address, _, _ = strings.Cut(address, ")")
				nodes, err := open(strings.Replace(trusting(ours), address, address+","+address, 1))
				if err != nil {
					t.Fatalf("a list of nodes: %v", err)
				}
				nodes.Close()
				for source, want := range map[string]string{
					plain + "?tls_ca=" + identity.Key:              "has no certificate in PEM",
					plain + "?tls_ca=/nowhere":                     "tls_ca: open /nowhere: no such file",
					plain + "?tls=skip-verify&tls_ca=" + ours.File: "tls_ca needs tls=true, not tls=skip-verify",
				} {
					if _, err := open(source); err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s: error %v", source, err)
					}
				}
			}
		})
	}
}

// A source that sends events over a network in plain text is worth a warning.
func TestPlainTextWarning(t *testing.T) {
	t.Parallel()
	for driver, source := range map[string]string{
		"postgres": "postgres://user:secret@db.invalid/events?sslmode=disable",
		"mysql":    "user:secret@tcp(db.invalid:3306)/events",
	} {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it need not connect
		_, err := stores.Open(ctx, stores.Options{Driver: driver, Source: source, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if text := log.String(); strings.Count(text, "plain text") != 1 || !strings.Contains(text, "host=db.invalid") || strings.Contains(text, "secret") {
			t.Errorf("%s: log %s", driver, text)
		}
	}
}
