package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const (
	commandsChild   = "commands"
	commandsChannel = "eventstore.bench-commands"
	commandsName    = "32 writers of one aggregate"
	commandsWriters = 32
	commandsLimits  = 10 // times the limit of a measure: who starves needs time to show it
)

func init() { children[commandsChild] = commands }

// commandsTrials measure commands of the Go library that all want to change the same aggregate.
func commandsTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, database := range allDatabases {
		if s.databases.Has(database) && s.peers.Has(ours) {
			all = append(all, trial{commandsName, peerID{ours, database}, eventBytes, func(ctx context.Context) ([]figure, error) { return s.commands(ctx, database) }})
		}
	}
	return all, nil
}

// commands starts a server and measures writers that share a client, those of two processes, and some with nothing in common.
func (s *setup) commands(ctx context.Context, database string) (figures []figure, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "commands-")
	if err != nil {
		return nil, err
	}
	args := []string{"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-store", "FILE", "-dir", dir}
	if database != "sqlite" {
		source, err := s.database(database, filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		args = append(args[:4], "-store", "SQL", "-sql_driver", database, "-sql_source", source)
	}
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, args))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for _, it := range []struct {
		what               string
		processes, clients int // clients of each process
	}{
		{"one client", 1, 1}, {"two clients, in two processes", 2, 1}, {"32 clients", 1, commandsWriters},
	} {
		took, err := s.writers(ctx, url, it.what, it.processes, it.clients)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", it.what, err)
		}
		slices.Sort(took)
		figures = append(figures, figure{it.what, float64(len(took)) / (commandsLimits * s.limit).Seconds(), perSecond})
		figures = append(figures, percentiles(it.what, took)...)
		figures = append(figures, figure{it.what + " longest", float64(took[len(took)-1].Microseconds()) / 1e3, milliseconds})
	}
	return figures, nil
}

// writers runs the writers in so many processes at the same time, and returns how long each command took.
func (s *setup) writers(ctx context.Context, url, aggregate string, processes, clients int) ([]time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	all, errs := make([][]time.Duration, processes), make([]error, processes)
	for i := range processes {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, self, url, aggregate, strconv.Itoa(commandsWriters/processes), strconv.Itoa(clients), (commandsLimits * s.limit).String())
			cmd.Env = append(os.Environ(), childVariable+"="+commandsChild)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &all[i])
			}
			errs[i] = err
		})
	}
	wg.Wait()
	took := slices.Concat(all...)
	if err := errors.Join(errs...); err != nil || len(took) == 0 {
		return nil, errors.Join(err, errors.New("no command was executed"))
	}
	return took, nil
}

// commands is a child: writers that execute one command after the other, and tell how long each took.
func commands() error {
	url, aggregate := os.Args[1], os.Args[2]
	writers, _ := strconv.Atoi(os.Args[3])
	clients, _ := strconv.Atoi(os.Args[4])
	limit, err := time.ParseDuration(os.Args[5])
	if err != nil {
		return err
	}
	type added struct{ N int }
	registry := eventstore.NewRegistry()
	eventstore.Register[added](registry, "Added")
	repositories := make([]*eventstore.Repository[int], clients)
	for i := range repositories {
		client, err := eventstore.New(eventstore.Options{URLs: []string{url}})
		if err != nil {
			return err
		}
		defer client.Close()
		repositories[i] = &eventstore.Repository[int]{Client: client, Channel: commandsChannel, Registry: registry,
			Apply:     func(sum int, e *eventstore.Event) int { return sum + e.Data.(added).N },
			Snapshots: &kept{}, SnapshotEvery: 20}
	}
	var mu sync.Mutex // guards the two below
	took, failed := []time.Duration{}, []error{}
	var wg sync.WaitGroup
	ends := time.Now().Add(limit)
	for i := range writers {
		wg.Go(func() {
			for time.Now().Before(ends) {
				begin := time.Now()
				_, err := repositories[i%clients].Execute(context.Background(), aggregate, func(int, uint64) ([]any, error) { return []any{added{1}}, nil })
				mu.Lock()
				if took = append(took, time.Since(begin)); err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(took)
}

// kept is a snapshot in memory: commands need not read the whole aggregate, which grows.
type kept struct {
	mu sync.Mutex
	eventstore.Snapshot
}

func (k *kept) LoadSnapshot(context.Context, eventstore.SnapshotKey) (eventstore.Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Snapshot, nil
}

func (k *kept) SaveSnapshot(_ context.Context, _ eventstore.SnapshotKey, s eventstore.Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.Version > k.Version {
		k.Snapshot = s
	}
	return nil
}

func (k *kept) DropSnapshot(context.Context, eventstore.SnapshotKey, uint64, uint64) error {
	return errors.New("the log has another history")
}
