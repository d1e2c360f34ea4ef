package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streams is a nats-server with JetStream and a stream of each size of events.
type streams struct {
	options
	*program
	counts map[loadSize]int
	stored map[int]uint64
}

func (s *setup) startJetStream(ctx context.Context, id peerID) (peer, error) {
	binary, err := s.binaryOf(ctx, id.name)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("jetstream {\n store_dir: %q\n", filepath.Join(s.dir, id.name))
	if id.name == jetStreamAlways {
		config += " sync_interval: always\n"
	}
	file := filepath.Join(s.dir, id.name+".conf")
	if err := os.WriteFile(file, []byte(config+"}\n"), 0o600); err != nil {
		return nil, err
	}
	progress("start %s", id.name)
	p, err := s.launch(ctx, id.name, "Server is ready", func(port string) *exec.Cmd {
		return exec.Command(binary, "-a", "127.0.0.1", "-p", port, "-c", file)
	})
	if err != nil {
		return nil, err
	}
	return &streams{options: s.options, program: p, counts: map[loadSize]int{}, stored: map[int]uint64{}}, nil
}

func subjectOf(size int) string { return "events." + strconv.Itoa(size) }
func streamOf(size int) string  { return "EVENTS-" + strconv.Itoa(size) }

func (c *streams) run(ctx context.Context, l load, size int) (float64, error) {
	conns := make([]jetstream.JetStream, max(1, l.publishers)+l.subscribers)
	for i := range conns {
		nc, err := nats.Connect(c.URL)
		if err != nil {
			return 0, err
		}
		defer nc.Close()
		if conns[i], err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(max(1, l.window/max(1, l.publishers)))); err != nil {
			return 0, err
		}
	}
	if _, err := conns[0].CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: streamOf(size), Subjects: []string{subjectOf(size)},
		Storage: jetstream.FileStorage}); err != nil {
		return 0, err
	}
	switch l.kind {
	case publishSync:
		return c.publishSync(ctx, conns, size)
	case replay:
		return c.replay(ctx, conns[1:], l, size)
	}
	return grow(c.options, c.counts, loadSize{l.name, size}, func(n int) (time.Duration, error) {
		var followers []*follower
		for _, js := range conns[l.publishers:] {
			f, err := follow(ctx, js, size, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
			if err != nil {
				return 0, err
			}
			defer f.stop()
			followers = append(followers, f)
		}
		start := time.Now()
		err := c.publishAll(ctx, conns[:l.publishers], n, size)
		for _, f := range followers {
			err = errors.Join(err, f.wait(ctx, uint64(n), leaveAfter))
		}
		return time.Since(start), err
	})
}

func (c *streams) publishAll(ctx context.Context, conns []jetstream.JetStream, n, size int) error {
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, js := range conns {
		wg.Go(func() {
			futures := make([]jetstream.PubAckFuture, 0, n/len(conns))
			for range n / len(conns) {
				f, err := js.PublishAsync(subjectOf(size), templateOf(size).next(nil), jetstream.WithStallWait(ackTimeout))
				if err != nil {
					errs[i] = err
					return
				}
				futures = append(futures, f)
			}
			for _, f := range futures {
				select {
				case <-f.Ok():
				case errs[i] = <-f.Err():
					return
				case <-ctx.Done():
					errs[i] = ctx.Err()
					return
				}
			}
		})
	}
	wg.Wait()
	c.stored[size] += uint64(n / len(conns) * len(conns))
	return errors.Join(errs...)
}

func (c *streams) publishSync(ctx context.Context, conns []jetstream.JetStream, size int) (float64, error) {
	errs := make([]error, len(conns))
	var n atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for i, js := range conns {
		wg.Go(func() {
			var payload []byte
			for time.Since(start) < c.limit && errs[i] == nil {
				payload = templateOf(size).next(payload)
				if _, errs[i] = js.Publish(ctx, subjectOf(size), payload); errs[i] == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	c.stored[size] += uint64(n.Load())
	return float64(n.Load()) / took.Seconds(), errors.Join(errs...)
}

// A follower is a consumer that acknowledges each message.
type follower struct {
	n      atomic.Uint64 // messages received
	target atomic.Uint64
	done   chan struct{} // one slot
	stop   func()
}

// follow consumes with explicit acknowledgements, without waiting for an answer to them, as a client of NATS Streaming.
func follow(ctx context.Context, js jetstream.JetStream, size int, config jetstream.ConsumerConfig) (*follower, error) {
	config.AckPolicy, config.MaxAckPending = jetstream.AckExplicitPolicy, replayWindow
	consumer, err := js.CreateConsumer(ctx, streamOf(size), config)
	if err != nil {
		return nil, err
	}
	f := &follower{done: make(chan struct{}, 1)}
	context, err := consumer.Consume(func(m jetstream.Msg) {
		_ = m.Ack() // what is lost with the connection shows as a target that is not reached
		if f.n.Add(1) == f.target.Load() {
			f.done <- struct{}{}
		}
	}, jetstream.PullMaxMessages(replayWindow))
	if err != nil {
		return nil, err
	}
	f.stop = context.Stop
	return f, nil
}

// wait returns when the target is received or the time is over.
func (f *follower) wait(ctx context.Context, target uint64, limit time.Duration) error {
	f.target.Store(target)
	if f.n.Load() >= target {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%d of %d messages after %v", f.n.Load(), target, limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *streams) replay(ctx context.Context, conns []jetstream.JetStream, l load, size int) (float64, error) {
	target := min(uint64(c.n), c.stored[size])
	if target == 0 {
		return 0, errors.New("nothing was published (section publish)")
	}
	var followers []*follower
	start := time.Now()
	for _, js := range conns {
		config := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
		if l.durable {
			config.Durable = "bench-" + strconv.FormatInt(start.UnixNano(), 36)
		}
		f, err := follow(ctx, js, size, config)
		if err != nil {
			return 0, err
		}
		defer f.stop()
		followers = append(followers, f)
	}
	var n uint64
	for _, f := range followers {
		_ = f.wait(ctx, target, time.Until(start.Add(c.limit))) // the time is the limit
	}
	for _, f := range followers {
		n += f.n.Load()
	}
	return float64(n) / time.Since(start).Seconds(), ctx.Err()
}
