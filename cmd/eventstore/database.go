package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // driver "mysql"
	_ "github.com/lib/pq"              // driver "postgres"
	"github.com/spf13/pflag"
	_ "modernc.org/sqlite" // driver "sqlite"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// database says where the read model is.
type database struct{ driver, dsn, dsnFile string }

func (d *database) register(flags *pflag.FlagSet) {
	flags.StringVar(&d.driver, "driver", "", "postgres, mysql or sqlite; default: as the DSN looks")
	flags.StringVar(&d.dsn, "dsn", os.Getenv("EVENTSTORE_DSN"), "database of the read model: postgres://…, user@tcp(host:3306)/name, or a file of SQLite (EVENTSTORE_DSN)")
	flags.StringVar(&d.dsnFile, "dsn-file", "", "file with the DSN, so that a password is not on the command line")
	flags.Lookup("dsn").DefValue = "" // it may have a password
}

func (d *database) given() bool { return d.dsn != "" || d.dsnFile != "" }

// open connects to the database. Errors do not contain the DSN.
func (d *database) open(ctx context.Context) (*sql.DB, eventstore.Dialect, error) {
	dsn := d.dsn
	if d.dsnFile != "" {
		data, err := os.ReadFile(d.dsnFile)
		if err != nil {
			return nil, 0, fmt.Errorf("--dsn-file: %w", err)
		}
		dsn = strings.TrimSpace(string(data))
	}
	if dsn == "" {
		return nil, 0, errors.New("name the database of the read model with --dsn, --dsn-file or EVENTSTORE_DSN")
	}
	driver := d.driver
	if driver == "" {
		driver = driverOf(dsn)
	}
	dialect, err := eventstore.ParseDialect(driver)
	if err != nil {
		return nil, 0, fmt.Errorf("--driver: %w", err)
	}
	if dialect == eventstore.SQLite {
		dsn = sqliteSource(dsn)
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

// driverOf guesses the driver.
func driverOf(dsn string) string {
	switch {
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return "postgres"
	case strings.Contains(dsn, "@tcp("), strings.Contains(dsn, "@unix("):
		return "mysql"
	}
	return "sqlite"
}

// sqliteSource adds what a projection beside readers needs: it waits for locks, and readers do not wait for it.
func sqliteSource(dsn string) string {
	if strings.Contains(dsn, "?") {
		return dsn
	}
	return "file:" + strings.TrimPrefix(dsn, "file:") + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
}
