package main

import (
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// delayCommits makes each flush of PostgreSQL's log take longer. What waits for a flush shares it, as on a slow disk.
func delayCommits(server *databases.Server, microseconds int) error {
	db, err := open("postgres", server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{
		fmt.Sprintf("ALTER SYSTEM SET commit_delay = %d", microseconds),
		"ALTER SYSTEM SET commit_siblings = 0", // also where nothing else is to be committed
		"SELECT pg_reload_conf()",
	} {
		if _, err := db.Exec(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
