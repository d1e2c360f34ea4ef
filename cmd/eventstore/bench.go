package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func benchCommand(t *tool) *cobra.Command {
	return noun("bench", "Measure a running server", benchAppendCommand(t), benchReadCommand(t))
}

// benchJSON is the result of a measurement. Latencies are in seconds.
type benchJSON struct {
	What            string  `json:"what"`
	Calls           int64   `json:"calls"`
	Events          uint64  `json:"events"`
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second"`
	Min             float64 `json:"min"`
	P50             float64 `json:"p50"`
	P90             float64 `json:"p90"`
	P99             float64 `json:"p99"`
	P999            float64 `json:"p99_9"`
	Max             float64 `json:"max"`
}

// stopwatch measures calls of several goroutines.
type stopwatch struct {
	mu        sync.Mutex // guards the histogram
	histogram *hdrhistogram.Histogram
	events    atomic.Uint64
}

func newStopwatch() *stopwatch {
	return &stopwatch{histogram: hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3)}
}

// record records how long a call took, in microseconds.
func (w *stopwatch) record(took time.Duration, events int) {
	w.mu.Lock()
	_ = w.histogram.RecordValue(max(1, int64(took/time.Microsecond))) // no call takes ten minutes: --timeout
	w.mu.Unlock()
	w.events.Add(uint64(events))
}

func (w *stopwatch) result(what string, took time.Duration) benchJSON {
	h := w.histogram
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	return benchJSON{
		What: what, Calls: h.TotalCount(), Events: w.events.Load(), Seconds: took.Seconds(), EventsPerSecond: float64(w.events.Load()) / took.Seconds(),
		Min: float64(h.Min()) / 1e6, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e6,
	}
}

func (t *tool) showBench(b benchJSON) error {
	if t.json() {
		return t.printJSON(b)
	}
	if err := t.print("%s: %s events in %.2f s: %s events/s, %s calls", b.What, number(b.Events), b.Seconds, number(uint64(b.EventsPerSecond)), number(b.Calls)); err != nil {
		return err
	}
	out := t.newList("", "LATENCY OF A CALL", "")
	for _, row := range []struct {
		name  string
		value float64
	}{{"least", b.Min}, {"50 %", b.P50}, {"90 %", b.P90}, {"99 %", b.P99}, {"99.9 %", b.P999}, {"greatest", b.Max}} {
		if err := out.add(nil, row.name, duration(time.Duration(row.value*float64(time.Second)))); err != nil {
			return err
		}
	}
	return out.end()
}

func benchAppendCommand(t *tool) *cobra.Command {
	var events uint64
	var size, batch, concurrency int
	c := &cobra.Command{
		Use:     "append CHANNEL",
		Short:   "Measure appends: it stores events that stay",
		Example: `  eventstore bench append eventstore.bench --events 10000 --concurrency 64 --yes`,
		Args:    cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			if batch < 1 || batch > maxBatch || concurrency < 1 || size < 0 || events < 1 {
				return usage("--events and --concurrency must be at least 1, --batch from 1 to %d, --size at least 0", maxBatch)
			}
			if err := t.confirm("store %s events on channel %s, which stay there for ever", number(events), args[0]); err != nil {
				return err
			}
			if err := r.call(ctx, func(ctx context.Context, s *server) error { // finds the server that leads
				_, err := s.events.Append(ctx, benchEvents(args[0], 1, size))
				return err
			}); err != nil {
				return err
			}
			s := r.servers[r.current]
			return t.measure(ctx, "append", events-1, batch, concurrency, func(ctx context.Context, n int) (int, error) {
				ctx, cancel := context.WithTimeout(ctx, r.timeout)
				defer cancel()
				_, err := s.events.Append(ctx, benchEvents(args[0], n, size))
				return n, err
			})
		}),
	}
	c.Flags().Uint64VarP(&events, "events", "n", 1000, "events to store")
	c.Flags().IntVar(&size, "size", 256, "bytes of event_data")
	c.Flags().IntVar(&batch, "batch", 1, "events of a call")
	c.Flags().IntVarP(&concurrency, "concurrency", "j", 1, "calls at a time")
	t.yesFlag(c)
	return c
}

// benchEvents returns an append of events, each of an aggregate of its own.
func benchEvents(channel string, n, size int) *eventstorev1.AppendRequest {
	request := &eventstorev1.AppendRequest{Channel: channel}
	data := []byte(`{"padding":"` + strings.Repeat("x", max(0, size-len(`{"padding":""}`))) + `"}`)
	for range n {
		id := uuid.NewString()
		request.Events = append(request.Events, &eventstorev1.Event{
			EventId: id, EventType: "BenchEvent", AggregateType: "Bench", AggregateId: id, EventData: data, ContentType: "application/json",
		})
	}
	return request
}

func benchReadCommand(t *tool) *cobra.Command {
	var events uint64
	var batch, concurrency int
	c := &cobra.Command{
		Use:   "read [CHANNEL...]",
		Short: "Measure reads of batches of events; it stores nothing",
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			if batch < 1 || concurrency < 1 || events < 1 {
				return usage("--events, --batch and --concurrency must be at least 1")
			}
			q, err := (&filterFlags{}).query(args)
			if err != nil {
				return err
			}
			head, err := r.head(ctx)
			if err != nil {
				return err
			}
			if head == 0 {
				return notFound("there are no events to read")
			}
			s := r.servers[r.current%len(r.servers)]
			var next atomic.Uint64
			return t.measure(ctx, "read", events, batch, concurrency, func(ctx context.Context, n int) (int, error) {
				from := (next.Add(uint64(n))-uint64(n))%head + 1 // from the first on, when the last was read
				ctx, cancel := context.WithTimeout(ctx, r.timeout)
				defer cancel()
				stream, err := s.events.Read(ctx, &eventstorev1.ReadRequest{
					Query: q, Limit: uint64(n), Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: from},
				})
				if err != nil {
					return 0, err
				}
				defer func() { _ = stream.Close() }() // stream.Err returns the error
				read := 0
				for stream.Receive() {
					read += len(stream.Msg().GetEvents())
				}
				return read, stream.Err()
			})
		}),
	}
	c.Flags().Uint64VarP(&events, "events", "n", 100_000, "events to ask for")
	c.Flags().IntVar(&batch, "batch", 1000, "events of a call")
	c.Flags().IntVarP(&concurrency, "concurrency", "j", 1, "calls at a time")
	return c
}

// measure makes calls of a batch each until so many events were asked for.
func (t *tool) measure(ctx context.Context, what string, events uint64, batch, concurrency int, call func(ctx context.Context, n int) (int, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(events))
	w, p := newStopwatch(), t.newProgress("events", events)
	began := time.Now()
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for ctx.Err() == nil {
				n := min(int64(batch), left.Add(-int64(batch))+int64(batch))
				if n <= 0 {
					return
				}
				start := time.Now()
				done, err := call(ctx, int(n))
				if err != nil {
					cancel(err)
					return
				}
				w.record(time.Since(start), done)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-tick.C:
			p.at(w.events.Load())
		}
	}
	p.clear()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("after %s events: %w", number(w.events.Load()), cause)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return t.showBench(w.result(what, time.Since(began)))
}
