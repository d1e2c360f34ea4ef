package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// setup holds what runs during the measures. Databases and peers start when they are first asked for.
type setup struct {
	options
	dir      string
	parent   string                       // of the directories of database servers; "": that for temporary files
	through  []string                     // the command that starts each program that syncs files; none if empty
	servers  map[string]*databases.Server // by database; none: SQLite
	running  map[peerID]peer
	binaries map[string]string // by peer
	closers  []func() error
}

func newSetup(o options, dir string) *setup {
	return &setup{options: o, dir: dir, servers: map[string]*databases.Server{}, running: map[peerID]peer{}, binaries: map[string]string{}}
}

func (s *setup) close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

// peer is one that runs, started if need be.
func (s *setup) peer(ctx context.Context, id peerID) (peer, error) {
	if p, ok := s.running[id]; ok {
		return p, nil
	}
	p, err := s.start(ctx, id)
	if err == nil {
		s.running[id] = p
	}
	return p, err
}

func (s *setup) start(ctx context.Context, id peerID) (peer, error) {
	switch id.name {
	case raw:
		return s.startRaw(ctx, id.database)
	case jetStream, jetStreamAlways:
		return s.startJetStream(ctx, id)
	case transport:
		p, err := s.serveChild(ctx, transport)
		return newStreaming(p, s.options), err
	}
	binary, err := s.binaryOf(ctx, id.name)
	if err != nil {
		return nil, err
	}
	args, err := s.arguments(ctx, id)
	if err != nil {
		return nil, err
	}
	p, err := s.serve(ctx, id.on(), binary, args)
	if err != nil {
		return nil, err
	}
	return newStreaming(p, s.options), nil
}

// arguments are those of a NATS Streaming server.
func (s *setup) arguments(ctx context.Context, id peerID) ([]string, error) {
	unlimited := []string{"-mm", "0", "-mb", "0"} // as ours is
	switch {
	case id.name == referenceFile:
		return append(unlimited, "-store", "FILE", "-dir", filepath.Join(s.dir, "file"), "-file_sync"), nil
	case id.database == "sqlite":
		return []string{"-store", "FILE", "-dir", filepath.Join(s.dir, "sqlite-"+id.name)}, nil
	}
	source, err := s.database(id.database, id.name)
	if err != nil {
		return nil, err
	}
	args := []string{"-store", "SQL", "-sql_driver", id.database, "-sql_source", source}
	switch id.name {
	case reference:
		args = append(append(args, unlimited...), "-sql_no_caching")
	case referenceCached:
		args = append(args, unlimited...)
	case referenceBulk:
		args = append(append(args, unlimited...), "-sql_bulk_insert_limit", "1000")
	default:
		return args, nil
	}
	return args, createReferenceTables(ctx, id.database, source)
}

// database creates an empty database for a peer and returns its source. The database server starts with the first.
func (s *setup) database(kind, peer string) (string, error) {
	server := s.servers[kind]
	if server == nil {
		progress("start %s, durable", kind)
		var err error
		if server, err = databases.StartThrough(s.parent, databases.Kind(kind), databases.Durable, s.through...); err != nil {
			return "", err
		}
		s.servers[kind] = server
		s.closers = append(s.closers, server.Stop)
		if s.commitDelay > 0 {
			if err := delayCommits(server, s.commitDelay); err != nil {
				return "", err
			}
		}
	}
	name := databaseName(peer)
	return server.DSN(name), server.CreateDatabase(name)
}

func databaseName(peer string) string { return "bench_" + strings.ReplaceAll(peer, "-", "_") }

// binaryOf is the program of a peer, built once.
func (s *setup) binaryOf(ctx context.Context, name string) (string, error) {
	switch name {
	case ours:
		if s.binary != "" {
			return filepath.Abs(s.binary)
		}
	case before:
		return filepath.Abs(s.before)
	case jetStream, jetStreamAlways:
		name = jetStream
	default:
		name = reference
	}
	if file := s.binaries[name]; file != "" {
		return file, nil
	}
	var file string
	var err error
	switch name {
	case reference:
		progress("build NATS Streaming %s", upstream.Version)
		file, err = upstream.Build(ctx)
	case jetStream:
		file, err = s.build(ctx, "nats-server", "github.com/nats-io/nats-server/v2")
	default:
		file, err = s.build(ctx, "nats-streaming-server", "./cmd/nats-streaming-server")
	}
	s.binaries[name] = file
	return file, err
}

// machine describes where the figures come from.
func (s *setup) machine() string {
	parts := []string{measure.Machine()}
	for _, kind := range allDatabases {
		server := s.servers[kind]
		if server == nil {
			continue
		}
		if v, err := measure.DatabaseVersion(kind, server.DSN(kind)); err == nil { // each has a database of that name
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, "; ")
}
