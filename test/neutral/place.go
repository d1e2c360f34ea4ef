package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// A place is where stores run: a directory, and a PostgreSQL that they share.
type place struct {
	dir        string
	server     string // the program of ours
	durability databases.Durability
	postgres   *databases.Server // started when it is first asked for
	databases  int
	folders    int
}

// beside is another place, with a PostgreSQL of its own.
func (p *place) beside() (*place, error) {
	dir, err := p.folder()
	return &place{dir: dir, server: p.server, durability: p.durability}, err
}

// folder makes an empty directory.
func (p *place) folder() (string, error) {
	p.folders++
	dir := filepath.Join(p.dir, strconv.Itoa(p.folders))
	return dir, os.Mkdir(dir, 0o755)
}

// database makes an empty database and returns its source.
func (p *place) database() (string, error) {
	if p.postgres == nil {
		server, err := databases.Start(databases.KindPostgres, p.durability)
		if err != nil {
			return "", err
		}
		p.postgres = server
	}
	p.databases++
	name := fmt.Sprintf("neutral_%d", p.databases)
	return p.postgres.DSN(name), p.postgres.CreateDatabase(name)
}

// analyze gives the planner its statistics, as autovacuum does some time after a load.
func analyze(ctx context.Context, source string) error {
	if err := execute(ctx, source, "ANALYZE"); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}

func execute(ctx context.Context, source, statement string) error {
	db, err := sql.Open("postgres", source)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// close ends the PostgreSQL. The stores have ended before.
func (p *place) close() error {
	var err error
	if p.postgres != nil {
		err = p.postgres.Stop()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// machine describes where the figures come from.
func (p *place) machine() (string, error) {
	text := measure.Machine()
	if p.postgres == nil {
		return text, nil
	}
	v, err := measure.DatabaseVersion("postgres", p.postgres.DSN("postgres"))
	return text + "; " + v, err
}
