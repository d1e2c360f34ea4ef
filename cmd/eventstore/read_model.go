package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // driver "mysql"
	_ "github.com/lib/pq"              // driver "postgres"
	"github.com/spf13/pflag"
	_ "modernc.org/sqlite" // driver "sqlite"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// readModel says which database a projection writes.
type readModel struct{ driver, dsn, dsnFile string }

func (d *readModel) register(flags *pflag.FlagSet) {
	flags.StringVar(&d.driver, "into-driver", "", "postgres, mysql or sqlite; default: as --into looks")
	flags.StringVar(&d.dsn, "into", os.Getenv("EVENTSTORE_INTO"), "database of the read model: postgres://…, user@tcp(host:3306)/name, or a file of SQLite (EVENTSTORE_INTO)")
	flags.StringVar(&d.dsnFile, "into-file", "", "file with what --into says, so that a password is not on the command line")
	flags.Lookup("into").DefValue = "" // it may have a password
}

func (d *readModel) given() bool { return d.dsn != "" || d.dsnFile != "" }

// open connects to the database. Errors do not contain the DSN.
func (d *readModel) open(ctx context.Context) (*sql.DB, eventstore.Dialect, error) {
	dsn := d.dsn
	if d.dsnFile != "" {
		data, err := os.ReadFile(d.dsnFile)
		if err != nil {
			return nil, 0, fmt.Errorf("--into-file: %w", err)
		}
		dsn = strings.TrimSpace(string(data))
	}
	if dsn == "" {
		return nil, 0, usage("name the database of the read model with --into, --into-file or EVENTSTORE_INTO")
	}
	driver := d.driver
	if driver == "" {
		var err error
		if driver, err = driverOf(dsn); err != nil {
			return nil, 0, err
		}
	}
	dialect, err := eventstore.ParseDialect(driver)
	if err != nil {
		return nil, 0, fmt.Errorf("--into-driver: %w", err)
	}
	switch dialect {
	case eventstore.SQLite:
		dsn = sqliteSource(dsn)
	case eventstore.PostgreSQL:
		if _, err := url.Parse(dsn); err != nil && strings.Contains(dsn, "://") { // the driver's error would show the password
			return nil, 0, errors.New("the DSN of postgres is malformed: write postgres://user:password@host:port/name, and special characters of the password as in a URL, # as %23")
		}
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, 0, errors.New("the DSN of " + driver + " is malformed")
	}
	db.SetConnMaxLifetime(30 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, 0, fmt.Errorf("connect to the database of the read model (%s): %w", driver, err)
	}
	return db, dialect, nil
}

// sqliteSource adds what a projection beside readers needs: it waits for locks, and readers do not wait for it.
func sqliteSource(dsn string) string {
	if strings.Contains(dsn, "?") {
		return dsn
	}
	return "file:" + strings.TrimPrefix(dsn, "file:") + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
}
