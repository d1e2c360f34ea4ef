package main

import (
	"context"
	"database/sql"
	"path/filepath"

	driver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/test/launch"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// build builds a program of this module or of one that it requires.
func (s *setup) build(ctx context.Context, name, pkg string) (string, error) {
	progress("build %s", name)
	file := filepath.Join(s.dir, name)
	return file, launch.Build(ctx, file, pkg)
}

// createReferenceTables runs the script of NATS Streaming's release.
func createReferenceTables(ctx context.Context, name, source string) error {
	db, err := open(name, source)
	if err != nil {
		return err
	}
	defer db.Close()
	return upstream.CreateTables(ctx, name, db)
}

// open opens a database without the driver's own log.
func open(name, source string) (*sql.DB, error) {
	if name != "mysql" {
		return sql.Open(name, source)
	}
	config, err := driver.ParseDSN(source)
	if err != nil {
		return nil, err
	}
	config.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
