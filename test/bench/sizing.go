package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	bytesPerEvent = "bytes/event"
	perUnit       = "per event"
)

// sizingSizes are of the events whose place on disk is measured.
var sizingSizes = []int{eventBytes, 2048}

// sizingTrials measure what an operator plans with: what an event takes on disk, what it costs the database and the processor, and
// the memory of the server's process for what it keeps.
func sizingTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, database := range allDatabases {
		id := peerID{ours, database}
		if !s.databases.Has(database) || !s.peers.Has(ours) {
			continue
		}
		for _, size := range sizingSizes {
			all = append(all, trial{measure.Count(s.n) + " events", id, size, func(ctx context.Context) ([]figure, error) {
				return s.sizeOnDisk(ctx, database, size)
			}})
		}
	}
	if s.databases.Has("sqlite") && s.peers.Has(ours) {
		all = append(all, trial{"memory of the server", peerID{ours, "sqlite"}, eventBytes, s.sizeInMemory})
	}
	return all, nil
}

// disk is what a database counts: bytes that it holds and has logged, and syncs of its log and commits so far.
type disk struct{ data, indexes, logged, syncs, commits float64 }

// diskQueries have the five figures of a disk, after statements that make them current.
var diskQueries = map[string][]string{
	"postgres": {
		"VACUUM ANALYZE Messages",
		`SELECT pg_table_size('messages'), pg_indexes_size('messages'), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),
			(SELECT wal_sync FROM pg_stat_wal), (SELECT SUM(xact_commit) FROM pg_stat_database)`,
	},
	"mysql": {
		"ANALYZE TABLE Messages",
		`SELECT data_length, index_length,
			(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_os_log_written'),
			(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_data_fsyncs'),
			(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Com_commit')
			FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'Messages'`,
	},
}

func readDisk(ctx context.Context, kind, source string) (d disk, err error) {
	db, err := sql.Open(kind, source)
	if err != nil {
		return d, err
	}
	defer db.Close()
	queries := diskQueries[kind]
	for _, statement := range queries[:len(queries)-1] {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return d, err
		}
	}
	return d, db.QueryRowContext(ctx, queries[len(queries)-1]).Scan(&d.data, &d.indexes, &d.logged, &d.syncs, &d.commits)
}

// sizeOnDisk publishes events to an empty database, many at a time and then one by one.
func (s *setup) sizeOnDisk(ctx context.Context, kind string, size int) (figures []figure, err error) {
	var args []string
	var source string
	dir := filepath.Join(s.dir, "sizing-"+strconv.Itoa(size))
	if kind == "sqlite" {
		args = []string{"-store", "FILE", "-dir", dir}
	} else {
		if source, err = s.database(kind, "sizing_"+strconv.Itoa(size)); err != nil {
			return nil, err
		}
		args = []string{"-store", "SQL", "-sql_driver", kind, "-sql_source", source}
	}
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, args))
	if err != nil {
		return nil, err
	}
	running := true
	defer func() {
		if running {
			err = errors.Join(err, p.Stop())
		}
	}()
	conn, err := newStreaming(p, s.options).connect(wideWindow)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	channel := func(int) string { return "eventstore.sizing" }
	of := newTemplate(size, unlikeText(size))
	if err := publishTo(ctx, conn, 1, of, channel); err != nil {
		return nil, err
	}
	look := func() (disk, error) {
		if kind == "sqlite" {
			return disk{}, nil
		}
		return readDisk(ctx, kind, source)
	}
	before, err := look()
	if err != nil {
		return nil, err
	}
	cpu := measure.ProcessorTime(p.PID())
	start := time.Now()
	if err := publishTo(ctx, conn, s.n, of, channel); err != nil {
		return nil, err
	}
	figures = append(figures,
		figure{"processor of the server", float64((measure.ProcessorTime(p.PID()) - cpu).Microseconds()) / float64(s.n), microseconds},
		figure{"published", float64(s.n) / time.Since(start).Seconds(), perSecond})
	after, err := look()
	if err != nil {
		return nil, err
	}
	n := float64(s.n)
	if kind == "sqlite" {
		running = false
		if err := p.Stop(); err != nil { // what is in the log goes to the file
			return nil, err
		}
		info, err := os.Stat(filepath.Join(dir, "eventstore.db"))
		if err != nil {
			return nil, err
		}
		return append(figures, figure{"on disk", float64(info.Size()) / n, bytesPerEvent}), nil
	}
	figures = append(figures,
		figure{"on disk", (after.data - before.data + after.indexes - before.indexes) / n, bytesPerEvent},
		figure{"of it indexes", (after.indexes - before.indexes) / n, bytesPerEvent},
		figure{"database log", (after.logged - before.logged) / n, bytesPerEvent},
		figure{"commits of a burst", (after.commits - before.commits) / n, perUnit},
		figure{"syncs of the log of a burst", (after.syncs - before.syncs) / n, perUnit})
	alone := max(1, s.n/100)
	for range alone {
		if err := publishTo(ctx, conn, 1, of, channel); err != nil {
			return nil, err
		}
	}
	last, err := look()
	if err != nil {
		return nil, err
	}
	return append(figures,
		figure{"commits of one publisher", (last.commits - after.commits) / float64(alone), perUnit},
		figure{"syncs of the log of one publisher", (last.syncs - after.syncs) / float64(alone), perUnit}), nil
}

// unlikeText is a text that no database makes shorter: an application's events are shorter by what they repeat.
func unlikeText(length int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	text := make([]byte, length)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
}

// sizeInMemory is what the resident memory of an idle server grows by for each of what it keeps.
func (s *setup) sizeInMemory(ctx context.Context) (figures []figure, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	steps := []struct {
		what  string
		count int
		make  func(c *streaming, count int) (leave func(), err error)
	}{
		{"channel", 10_000, func(c *streaming, count int) (func(), error) {
			conn, err := c.connect(wideWindow)
			if err != nil {
				return nil, err
			}
			leave := func() { _ = conn.Close() }
			return leave, publishTo(ctx, conn, count, templateOf(eventBytes), func(i int) string { return "eventstore.sizing." + strconv.Itoa(i) })
		}},
		{"client", 1000, func(c *streaming, count int) (func(), error) {
			_, leave, err := c.connectAll(count, 1)
			return leave, err
		}},
		{"subscription", 10_000, func(c *streaming, count int) (func(), error) {
			return c.subscribeMany(count)
		}},
		{"unacknowledged message", 100_000, func(c *streaming, count int) (func(), error) {
			return c.leaveUnacknowledged(ctx, count)
		}},
	}
	for i, step := range steps {
		p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, []string{"-store", "FILE", "-dir", filepath.Join(s.dir, "memory-"+step.what)}))
		if err != nil {
			return nil, err
		}
		grown, idle, err := s.grow(p, step.count, step.make)
		if err = errors.Join(err, p.Stop()); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		if i == 0 {
			figures = append(figures, figure{"idle", idle, mebibytes})
		}
		figures = append(figures, figure{"each " + step.what, grown / float64(step.count) * (1 << 20), "bytes"})
	}
	return figures, nil
}

// grow returns by how many MiB the server's process grows, and what it had before.
func (s *setup) grow(p *program, count int, do func(*streaming, int) (func(), error)) (grown, idle float64, err error) {
	if idle, err = memory(p.PID(), "VmRSS"); err != nil {
		return 0, 0, err
	}
	leave, err := do(newStreaming(p, s.options), count)
	if leave != nil {
		defer leave()
	}
	if err != nil {
		return 0, 0, err
	}
	now, err := memory(p.PID(), "VmRSS")
	return now - idle, idle, err
}

// subscribeMany makes so many subscriptions of one connection to one channel.
func (c *streaming) subscribeMany(count int) (leave func(), err error) {
	conn, err := c.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	for range count {
		if _, err := conn.Subscribe("eventstore.sizing", func(*stan.Msg) {}); err != nil {
			return func() { _ = conn.Close() }, err
		}
	}
	return func() { _ = conn.Close() }, nil
}

// leaveUnacknowledged has one durable receive so many messages and acknowledge none.
func (c *streaming) leaveUnacknowledged(ctx context.Context, count int) (leave func(), err error) {
	conn, err := c.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	leave = func() { _ = conn.Close() }
	r := &reader{first: 1, done: make(chan error, 1)}
	r.target.Store(uint64(count))
	_, err = conn.Subscribe("eventstore.sizing", r.receive, stan.DurableName("sizing"), stan.MaxInflight(count), stan.SetManualAckMode(), stan.AckWait(time.Hour))
	if err != nil {
		return leave, err
	}
	if err := publishTo(ctx, conn, count, templateOf(eventBytes), func(int) string { return "eventstore.sizing" }); err != nil {
		return leave, err
	}
	return leave, r.wait(ctx, uint64(count))
}
