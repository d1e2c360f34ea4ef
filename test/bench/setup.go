package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// The columns of the table.
const (
	ours      = "ours"
	reference = "reference"
	raw       = "raw"
)

// A trial is one cell of the table: take measures it once, per second.
type trial struct {
	measure, database, column string

	take func(context.Context) (float64, error)
}

// setup holds what runs during the measures.
type setup struct {
	options
	dir     string
	servers map[string]*databases.Server // by database; nil: SQLite
	closers []func() error
}

func (s *setup) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

// trials starts everything and returns the trials of one run, those of one
// measure on one database side by side.
func (s *setup) trials(ctx context.Context) ([]trial, error) {
	var ourBinary, referenceBinary string
	var err error
	if s.has(s.columns, ours) {
		if ourBinary = s.binary; ourBinary == "" {
			if ourBinary, err = buildOurs(ctx, s.dir); err != nil {
				return nil, err
			}
		}
	}
	if s.has(s.columns, reference) {
		progress("build NATS Streaming %s", upstream.Version)
		if referenceBinary, err = upstream.Build(ctx); err != nil {
			return nil, err
		}
	}
	perDatabase := map[string]map[string]workload{}
	var names []string
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		if !s.has(s.databases, name) {
			continue
		}
		loads, err := s.start(ctx, name, ourBinary, referenceBinary)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		perDatabase[name] = loads
	}
	var trials []trial
	for _, m := range measures {
		for _, name := range names {
			for _, column := range []string{ours, reference, raw} {
				w, ok := perDatabase[name][column]
				if !ok {
					continue
				}
				if take := w.measure(m); take != nil {
					trials = append(trials, trial{m, name, column, take})
				}
			}
		}
	}
	return trials, nil
}

// start starts one database with its servers; their workloads are by column.
func (s *setup) start(ctx context.Context, name, ourBinary, referenceBinary string) (map[string]workload, error) {
	loads := map[string]workload{}
	if name != "sqlite" {
		progress("start %s, durable", name)
		server, err := databases.Start(databases.Kind(name), databases.Durable)
		if err != nil {
			return nil, err
		}
		s.servers[name] = server
		s.closers = append(s.closers, server.Stop)
		for _, database := range []string{"eventstore", "reference"} {
			if err := server.CreateDatabase(database); err != nil {
				return nil, err
			}
		}
	}
	if ourBinary != "" {
		args := []string{"-store", "FILE", "-dir", filepath.Join(s.dir, "sqlite")}
		if name != "sqlite" {
			args = []string{"-store", "SQL", "-sql_driver", name, "-sql_source", s.servers[name].DSN("eventstore")}
		}
		url, err := s.serve(ctx, ours+" on "+name, ourBinary, args)
		if err != nil {
			return nil, err
		}
		loads[ours] = newClient(url, s.options)
		if s.has(s.columns, raw) {
			db, err := s.rawDatabase(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("raw %s: %w", name, err)
			}
			loads[raw] = db
		}
	}
	if referenceBinary != "" && name != "sqlite" {
		if err := createReferenceTables(ctx, name, s.servers[name].DSN("reference")); err != nil {
			return nil, err
		}
		args := []string{"-store", "SQL", "-sql_driver", name, "-sql_source", s.servers[name].DSN("reference"),
			"-sql_no_caching", "-mm", "0", "-mb", "0"} // 0: unlimited, as ours is
		url, err := s.serve(ctx, reference+" on "+name, referenceBinary, args)
		if err != nil {
			return nil, err
		}
		loads[reference] = newClient(url, s.options)
	}
	return loads, nil
}

// machine describes where the figures come from.
func (s *setup) machine() string {
	parts := []string{fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())}
	for _, name := range []string{"postgres", "mysql"} {
		server := s.servers[name]
		if server == nil {
			continue
		}
		if v, err := version(name, server.DSN("eventstore")); err == nil {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, "; ")
}

func version(driver, source string) (string, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var v string
	if err := db.QueryRow("SELECT version()").Scan(&v); err != nil {
		return "", err
	}
	v, _, _ = strings.Cut(v, " (") // PostgreSQL goes on about its compiler
	if driver == "mysql" && strings.Contains(v, "MariaDB") {
		v = "MariaDB " + v
	}
	return v, nil
}
