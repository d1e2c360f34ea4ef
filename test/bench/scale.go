package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	scaleBytes    = 256 // of an event, so that ten million fit on many disks
	scaleChannels = 1000
	scaleReady    = "ready"
	scaleFirst    = "first appends" // of each channel after the start, which read its pages from disk
	scaleAppend   = "append"
	scaleRead     = "read of an aggregate of 10 events"
	scaleIdle     = "memory when ready"
	scaleBusy     = "memory at the end"
)

// scaleCounts are of events in 1,000 channels.
func (s *setup) scaleCounts() []int {
	if s.full {
		return []int{1000, 100_000, 1_000_000, 10_000_000}
	}
	return []int{1000, 100_000}
}

func scaleName(count int) string { return measure.Count(count) + " events" }

// scaleTrials start our server on databases that hold many events.
func scaleTrials(s *setup, ctx context.Context) ([]trial, error) {
	var all []trial
	for _, database := range allDatabases {
		if !s.databases.Has(database) || !s.peers.Has(ours) {
			continue
		}
		for _, count := range s.scaleCounts() {
			id := peerID{ours, database}
			before := events.Load()
			args, err := s.fill(ctx, id, "scale", filling{count: count, row: func(args []any, channel int, sequence, _ int64) ([]any, error) {
				return appendRow(args, channel, sequence, scaleBytes, scaleChannel(channel))
			}})
			if err != nil {
				return nil, fmt.Errorf("fill %s with %d events: %w", database, count, err)
			}
			all = append(all, trial{scaleName(count), id, scaleBytes, func(ctx context.Context) ([]figure, error) {
				return s.scale(ctx, args, filledAggregates{before, int64(count)})
			}})
		}
	}
	return all, nil
}

// filledAggregates are those of so many filled events, before which so many were made.
type filledAggregates struct{ before, events int64 }

// random returns one whose events are all in one channel, and that.
func (f filledAggregates) random() (channel, id string) {
	for {
		n := (f.before + rand.Int64N(f.events)) / eventsPerAggregate //nolint:gosec // any will do
		first := n*eventsPerAggregate - f.before - 1                 // events that stand before it
		each := f.events / scaleChannels
		if at := first / each; first >= 0 && at == (first+eventsPerAggregate-1)/each && at < scaleChannels {
			return scaleChannel(int(at) + 1), fmt.Sprintf("order-%012d", n)
		}
	}
}

// read reads aggregates at random, one after the other, and returns how long each took, ascending.
func (f filledAggregates) read(ctx context.Context, api eventstorev1connect.EventStoreClient, limit time.Duration) (took []time.Duration, err error) {
	for start := time.Now(); time.Since(start) < limit; {
		channel, id := f.random()
		began := time.Now()
		n, err := readAggregate(ctx, api, channel, id)
		if err == nil && n != eventsPerAggregate {
			err = fmt.Errorf("aggregate %s of %s: %d events", id, channel, n)
		}
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

func scaleChannel(id int) string { return "eventstore.scale." + strconv.Itoa(id) }

// scale starts the server, publishes and replays, and stops it.
func (s *setup) scale(ctx context.Context, args []string, filled filledAggregates) (_ []figure, err error) {
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, append(slices.Clip(args), "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port))))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	figures := []figure{{scaleReady, float64(time.Since(start).Microseconds()) / 1e3, milliseconds}}
	resident := func(what string) error {
		mib, err := memory(p.PID(), "VmRSS")
		figures = append(figures, figure{what, mib, mebibytes})
		return err
	}
	if err := resident(scaleIdle); err != nil {
		return nil, err
	}
	c := newStreaming(p, s.options)
	conns, leave, err := c.connectAll(2, wideWindow)
	if err != nil {
		return nil, err
	}
	defer leave()
	channels := make([]string, scaleChannels)
	for i := range channels {
		channels[i] = scaleChannel(i + 1)
	}
	for _, part := range []struct {
		what  string
		limit time.Duration
	}{{scaleFirst, 0}, {scaleAppend, 10 * s.limit}} {
		took, err := latencies(ctx, conns[0], channels, scaleBytes, part.limit)
		if err != nil {
			return nil, err
		}
		figures = append(figures, percentiles(part.what, took)...)
	}
	if filled.events >= 10*eventsPerAggregate*scaleChannels { // of fewer, most are in several channels
		took, err := filled.read(ctx, eventStore(fmt.Sprintf("http://127.0.0.1:%d", port)), 5*s.limit)
		if err != nil {
			return nil, err
		}
		figures = append(figures, percentiles(scaleRead, took)...)
	}
	if err := publishTo(ctx, conns[1], grownMessages, templateOf(eventBytes), func(i int) string { return channels[i%len(channels)] }); err != nil {
		return nil, err
	}
	for _, channel := range channels[:100] {
		r, err := c.subscribe(conns[1], channel, 1, 1, stan.DeliverAllAvailable())
		if err != nil {
			return nil, err
		}
		if err := r.wait(ctx, 1); err != nil {
			return nil, err
		}
	}
	return figures, resident(scaleBusy)
}

// fill makes a database that is filled, and returns the server's arguments for it.
func (s *setup) fill(ctx context.Context, id peerID, name string, with filling) (args []string, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	name += "_" + strconv.Itoa(with.count)
	var source string
	if id.database == "sqlite" {
		dir := filepath.Join(s.dir, name)
		args = []string{"-store", "FILE", "-dir", dir}
		source = dir
	} else {
		if source, err = s.database(id.database, name); err != nil {
			return nil, err
		}
		args = []string{"-store", "SQL", "-sql_driver", id.database, "-sql_source", source}
	}
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, args)) // makes the tables
	if err != nil {
		return nil, err
	}
	if err := p.Stop(); err != nil {
		return nil, err
	}
	if id.database == "sqlite" {
		files, err := filepath.Glob(filepath.Join(source, "*.db"))
		if err != nil || len(files) != 1 {
			return nil, fmt.Errorf("our server's database file: found %q", files)
		}
		source = "file:" + files[0]
	}
	start := time.Now()
	progress("fill %s with %s in %d channels", id.database, scaleName(with.count), scaleChannels)
	if err := with.fill(ctx, id.database, source); err != nil {
		return nil, err
	}
	progress("filled in %v", time.Since(start).Round(time.Second))
	return args, nil
}
