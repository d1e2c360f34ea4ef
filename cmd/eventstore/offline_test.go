package main

import "testing"

func TestDriverOf(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:p@h/db?sslmode=disable": "postgres", "host=a dbname=b": "postgres", "u:p@tcp(h:3306)/db": "mysql", "u@unix(/run/mysqld.sock)/db": "mysql",
		"u:p@/db": "mysql", "data/eventstore.db": "sqlite", "/var/lib/nats-streaming-server/eventstore.db": "sqlite",
	} {
		if got, err := driverOf(dsn); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", dsn, got, err, want)
		}
	}
}
