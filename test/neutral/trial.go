package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A trial is one measure of one peer with one workload.
type trial struct {
	context.Context
	options
	peer    peer
	at      *place
	apart   *place // where stores are killed
	store   store
	filled  map[string][]stream // what earlier trials of the peer have prefilled
	results []result

	mu      sync.Mutex // two kinds of operations connect at a time
	clients []client
}

// A result is what the operations of one kind did.
type result struct {
	what   string // "" is the only kind
	better better
	*record
}

// tail are operations that were reported before, compared by another figure.
const tail = "tail"

// better says by which figure peers are compared.
type better int

const (
	byRate better = iota
	byMedian
	byTail
)

func (t *trial) report(what string, by better, r *record) {
	t.results = append(t.results, result{what, by, r})
}

// connect returns clients, which end with the trial.
func (t *trial) connect(n int) ([]client, error) {
	var list []client
	for range n {
		c, err := t.store.connect(t)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		list = append(list, c)
		t.mu.Lock()
		t.clients = append(t.clients, c)
		t.mu.Unlock()
	}
	return list, nil
}

// atMost is a number of workers, or fewer for a short run.
func (t *trial) atMost(n int) int {
	if t.workers > 0 {
		return min(n, t.workers)
	}
	return n
}

// leave closes the clients.
func (t *trial) leave() {
	var wait sync.WaitGroup
	for _, c := range t.clients {
		wait.Go(c.close)
	}
	wait.Wait()
	t.clients = nil
}

// categories is how many categories the streams of a workload belong to, where it does not say one.
const categories = 8

// newStream returns a stream that nobody has written.
func newStream(r *rand.Rand) stream {
	return stream{fmt.Sprintf("category%d", r.IntN(categories)), uuid.NewString()}
}

// random is a source that is the same in each run for a worker, and for each peer.
func random(worker int) *rand.Rand { return rand.New(rand.NewPCG(1, uint64(worker))) }

const fillers = 16

// scaled is fewer streams, for a short run.
func (t *trial) scaled(p prefilled) prefilled {
	p.streams = max(int(float64(p.streams)*t.scale), fillers)
	return p
}

// fill makes the streams of a workload, once for all workloads and runs that share them.
func (t *trial) fill(key string, p prefilled, size int, category func(r *rand.Rand) stream) ([]stream, error) {
	key = fmt.Sprintf("%s %v", key, p)
	if streams, ok := t.filled[key]; ok {
		return streams, nil
	}
	r := random(0)
	streams := make([]stream, p.streams)
	for i := range streams {
		streams[i] = category(r)
	}
	clients, err := t.connect(t.atMost(fillers))
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(clients))
	var wait sync.WaitGroup
	for worker, c := range clients {
		wait.Go(func() {
			r := random(worker)
			for i := worker; i < len(streams) && errs[worker] == nil; i += len(clients) {
				events := make([][]byte, p.length)
				for n := range events {
					events[n] = newEvent(r, int64(n), size)
				}
				_, errs[worker] = c.append(t, streams[i], anyVersion, events)
			}
		})
	}
	wait.Wait()
	t.leave()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("prefill: %w", err)
	}
	if err := t.store.settle(t); err != nil {
		return nil, err
	}
	t.filled[key] = streams
	return streams, nil
}

// closed measures workers with a client each.
func (t *trial) closed(n int, worker func(int, client) operation) (*record, error) {
	workers, err := t.operations(n, worker)
	if err != nil {
		return nil, err
	}
	return closed(t, workers, t.duration/5, t.duration), nil
}

// open measures arrivals at a rate.
func (t *trial) open(n int, rate float64, worker func(int, client) operation) (*record, error) {
	workers, err := t.operations(n, worker)
	if err != nil {
		return nil, err
	}
	return open(t, workers, rate, t.duration), nil
}

func (t *trial) operations(n int, worker func(int, client) operation) ([]operation, error) {
	clients, err := t.connect(t.atMost(n))
	if err != nil {
		return nil, err
	}
	workers := make([]operation, len(clients))
	for i, c := range clients {
		workers[i] = worker(i, c)
	}
	return workers, nil
}

// both runs two loads at the same time.
func both(a, b func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- a() }()
	return errors.Join(b(), <-failed)
}

// limit bounds one operation, so that a store that has stopped does not stop the run.
const limit = time.Minute
