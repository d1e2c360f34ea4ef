package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/stan.go"
)

const (
	replaysChild = "replays"
	burstChild   = "burst"

	fairName        = "one synchronous publisher"
	fairIdle        = "alone"
	fairReplays     = "beside 20 replays"
	fairBurst       = "beside the burst of another channel"
	fairReplayed    = "what the 20 replays read, all together"
	fairChannel     = "eventstore.bench-fair"
	burstChannel    = "eventstore.bench-burst"
	fairReplayers   = 20
	fairLeastEvents = 20_000 // replayed again and again
)

func init() {
	children[replaysChild] = replays
	children[burstChild] = burst
}

// fairnessTrials measure what a synchronous publisher notices of others. They are in processes of their own, so that
// the client's scheduler is not what is measured. Raw is one who commits rows to the database beside the same clients of our
// server: what the machine and the database have left.
func fairnessTrials(s *setup, ctx context.Context) ([]trial, error) {
	var all []trial
	for _, id := range s.chosen() {
		switch id.name {
		case ours, before, reference, referenceBulk, referenceFile, raw:
		default:
			continue
		}
		p, err := s.peer(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id.on(), err)
		}
		run := func(ctx context.Context) ([]figure, error) { return s.fairness(ctx, p.(*streaming)) }
		if id.name == raw {
			beside, err := s.peer(ctx, peerID{ours, id.database})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id.on(), err)
			}
			run = func(ctx context.Context) ([]figure, error) {
				figures, _, err := s.beside(ctx, beside.(*streaming), p.(*rawTables).latencies)
				return figures, err
			}
		}
		all = append(all, trial{fairName, id, eventBytes, run})
	}
	return all, nil
}

// fairness measures a synchronous publisher of a server, and what the replays beside it get.
func (s *setup) fairness(ctx context.Context, c *streaming) ([]figure, error) {
	conn, err := c.connect(1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	figures, replayed, err := s.beside(ctx, c, func(ctx context.Context) ([]time.Duration, error) {
		return latencies(ctx, conn, []string{fairChannel}, eventBytes, s.limit)
	})
	return append(figures, figure{fairReplayed, replayed, perSecond}), err
}

// beside measures latencies, alone and while others use a server, and the events per second that replays read meanwhile.
func (s *setup) beside(ctx context.Context, c *streaming, measure func(context.Context) ([]time.Duration, error)) (all []figure, replayed float64, err error) {
	if err := c.ensure(ctx, fairLeastEvents); err != nil {
		return nil, 0, err
	}
	for _, beside := range []struct{ what, child string }{{fairIdle, ""}, {fairReplays, replaysChild}, {fairBurst, burstChild}} {
		took, rate, err := s.besideChild(ctx, c, measure, beside.child)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", beside.what, err)
		}
		replayed += rate
		all = append(all, percentiles(beside.what, took)...)
	}
	return all, replayed, nil
}

// besideChild measures latencies while a child uses a server; "": none does. It returns the rate that the child tells of.
func (s *setup) besideChild(ctx context.Context, c *streaming, measure func(context.Context) ([]time.Duration, error), child string) (_ []time.Duration, rate float64, err error) {
	if child != "" {
		self, err := os.Executable()
		if err != nil {
			return nil, 0, err
		}
		p, err := s.begin(ctx, child, childReady, func(string) *exec.Cmd {
			cmd := exec.Command(self, c.URL)
			cmd.Env = append(os.Environ(), childVariable+"="+child)
			return cmd
		})
		if err != nil {
			return nil, 0, err
		}
		defer func() {
			err = errors.Join(err, p.Stop())
			if _, told, ok := strings.Cut(p.Tail(), childRate); ok && err == nil {
				_, err = fmt.Sscan(told, &rate)
			}
		}()
	}
	took, err := measure(ctx)
	return took, 0, err
}

// ensure publishes until so many events of the usual size are stored.
func (c *streaming) ensure(ctx context.Context, n int) error {
	if c.stored[eventBytes] == nil {
		c.stored[eventBytes] = &atomic.Uint64{}
	}
	missing := n - int(c.stored[eventBytes].Load())
	if missing <= 0 {
		return nil
	}
	conns, leave, err := c.connectAll(1, wideWindow)
	if err != nil {
		return err
	}
	defer leave()
	return c.publishAll(ctx, conns, missing, eventBytes)
}

// childRate precedes what a child has reached, per second, when it is ended.
const childRate = "rate "

// replays is a child: subscribers that read from the first event on, and then again, until it is ended.
func replays() error {
	c := newStreaming(&program{URL: os.Args[1]}, options{})
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	var readers [fairReplayers]atomic.Pointer[reader] // current ones
	var finished atomic.Uint64                        // events of those before
	var started sync.WaitGroup
	started.Add(fairReplayers)
	failed := make(chan error, fairReplayers)
	start := time.Now()
	for i := range fairReplayers {
		go func() {
			conn, err := stan.Connect(cluster, "replays-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(i), stan.NatsURL(c.URL), stan.ConnectWait(ackTimeout))
			for first := true; err == nil; first = false {
				var r *reader
				r, err = c.subscribe(conn, channelOf(eventBytes), 1, fairLeastEvents, stan.DeliverAllAvailable())
				if err != nil {
					break
				}
				readers[i].Store(r)
				if first {
					started.Done()
				}
				if err = <-r.done; err == nil {
					readers[i].Store(&reader{})
					finished.Add(r.last.Load())
					err = r.sub.Unsubscribe()
				}
			}
			failed <- err
		}()
	}
	go func() {
		started.Wait()
		fmt.Println(childReady)
	}()
	select {
	case err := <-failed:
		return err
	case <-ended:
	}
	n := finished.Load()
	for i := range readers {
		n += readers[i].Load().last.Load()
	}
	fmt.Printf("%s%f\n", childRate, float64(n)/time.Since(start).Seconds())
	return nil
}

// burst is a child: one connection that publishes to a channel as fast as it can, until it is ended.
func burst() error {
	conn, err := stan.Connect(cluster, "burst-"+strconv.Itoa(os.Getpid()), stan.NatsURL(os.Args[1]), stan.MaxPubAcksInflight(wideWindow),
		stan.PubAckWait(ackTimeout), stan.ConnectWait(ackTimeout))
	if err != nil {
		return err
	}
	var acks atomic.Int64
	failed := make(chan error, 1)
	var payload []byte
	for {
		payload = templateOf(eventBytes).next(payload)
		if _, err := conn.PublishAsync(burstChannel, payload, func(_ string, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			} else if acks.Add(1) == narrowWindow {
				fmt.Println(childReady)
			}
		}); err != nil {
			return err
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}
