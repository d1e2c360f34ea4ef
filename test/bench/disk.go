package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

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

// syncTime is the median time of an fsync after 8 KiB were written to a file
// in dir, where the databases are too.
func syncTime(dir string) (_ time.Duration, err error) {
	name := filepath.Join(dir, "fsync")
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close() // it holds nothing of worth
		if e := os.Remove(name); err == nil {
			err = e
		}
	}()
	block := make([]byte, 8<<10)
	took := make([]time.Duration, 201)
	for i := range took {
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
