package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	subscriptionsChild = "subscriptions"

	followingName    = "publishing"
	followingOne     = "one synchronous publisher, "
	followingIdle    = "alone"
	followingCatchUp = "beside 20 API subscriptions that catch up"
	followingRelay   = "beside a relay that catches up"
	followingLive    = "beside 20 API subscriptions that follow it"
	followingCaught  = "what the 20 subscriptions read, all together"
	followingRelayed = "what the relay publishes"
	followingEvents  = 200_000 // that a relay has to catch up with, at least as long as the measure
	followers        = 20

	writersName    = "8 writers through the API"
	writersCount   = 8
	writersBeside  = "beside 20 subscriptions"
	writersReceive = "received by the 20 subscriptions"

	// followingChannel is published to in the measure, followedChannel was filled before.
	followingChannel = "eventstore.following.now"
	followedChannel  = "eventstore.following.before"
	followingStream  = "FOLLOWING"
)

func init() { children[subscriptionsChild] = subscriptions }

// followingTrials measure what publishers notice of those who follow the log through the API and of a relay.
func followingTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, id := range s.chosen() {
		if id.name == ours {
			all = append(all, trial{followingName, id, eventBytes, func(ctx context.Context) ([]figure, error) { return s.following(ctx, id.database) }})
		}
	}
	return all, nil
}

// following measures on a database with events to catch up with.
func (s *setup) following(ctx context.Context, database string) (figures []figure, err error) {
	f, err := s.fresh(database, "following")
	if err != nil {
		return nil, err
	}
	count := min(2*s.n, followingEvents)
	if err := f.run(ctx, "", func() error {
		conns, leave, err := f.connectAll(1, wideWindow)
		if err != nil {
			return err
		}
		defer leave()
		if err := publishTo(ctx, conns[0], count, templateOf(eventBytes), func(int) string { return followedChannel }); err != nil {
			return err
		}
		var cpu, elapsed time.Duration
		_, rate, err := s.besideSubscriptions(ctx, f, followedChannel, func(ctx context.Context) (_ []figure, err error) {
			cpu, elapsed, err = f.working(ctx, 5*s.limit)
			return nil, err
		})
		if err != nil {
			return err
		}
		figures = append(figures, figure{followingCaught + ", without publishers", rate, perSecond},
			figure{"processor of the server for each", float64(cpu.Microseconds()) / (rate * elapsed.Seconds()), microseconds})
		for _, step := range []struct {
			what, from string // "": there are no subscriptions
		}{{followingIdle, ""}, {followingCatchUp, followedChannel}, {followingLive, followingChannel}} {
			found, rate, err := s.besideSubscriptions(ctx, f, step.from, func(ctx context.Context) ([]figure, error) {
				took, err := latencies(ctx, conns[0], []string{followingChannel}, eventBytes, 5*s.limit)
				return percentiles(followingOne+step.what, took), err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			if figures = append(figures, found...); step.what == followingCatchUp {
				figures = append(figures, figure{followingCaught, rate, perSecond})
			}
		}
		for _, step := range []struct{ what, from string }{{followingIdle, ""}, {writersBeside, followingChannel}} {
			found, rate, err := s.besideSubscriptions(ctx, f, step.from, func(ctx context.Context) ([]figure, error) {
				return s.apiWriters(ctx, f.api, writersName+", "+step.what)
			})
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			if figures = append(figures, found...); step.from != "" {
				figures = append(figures, figure{writersReceive, rate, perSecond})
			}
		}
		return nil
	}); err != nil {
		return figures, err
	}
	config := fmt.Sprintf("jetstream { store_dir: %q }\nstreaming { routes: [ { stream: %s, subject: \"%s.{event_type}\" } ] }\n", f.dir+"/jetstream", followingStream, followingStream)
	err = f.run(ctx, config, func() error {
		found, err := s.besideRelay(ctx, f, uint64(count))
		figures = append(figures, found...)
		return err
	})
	return figures, err
}

// besideSubscriptions measures while a child subscribes to a channel through the API, and returns how many events a second it received.
func (s *setup) besideSubscriptions(ctx context.Context, f *freshServer, channel string, measure func(context.Context) ([]figure, error)) (figures []figure, rate float64, err error) {
	if channel == "" {
		figures, err := measure(ctx)
		return figures, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	p, err := s.begin(ctx, subscriptionsChild, childReady, func(string) *exec.Cmd {
		cmd := exec.Command(self, f.api, channel, strconv.FormatBool(channel == followedChannel))
		cmd.Env = append(os.Environ(), childVariable+"="+subscriptionsChild)
		return cmd
	})
	if err != nil {
		return nil, 0, err
	}
	figures, err = measure(ctx)
	if err = errors.Join(err, p.Stop()); err != nil {
		return figures, 0, err
	}
	_, told, ok := strings.Cut(p.Tail(), childRate)
	if !ok {
		return figures, 0, fmt.Errorf("the subscriptions ended early: %s", p.Tail())
	}
	_, err = fmt.Sscan(told, &rate)
	return figures, rate, err
}

// apiWriters append one event after the other.
func (s *setup) apiWriters(ctx context.Context, url, what string) ([]figure, error) {
	took := make([][]time.Duration, writersCount)
	errs := make([]error, writersCount)
	var wait sync.WaitGroup
	start := time.Now()
	for i := range writersCount {
		wait.Go(func() {
			api := eventStore(url)
			for n := 0; time.Since(start) < 5*s.limit && errs[i] == nil; n++ {
				began := time.Now()
				_, errs[i] = api.Append(ctx, &eventstorev1.AppendRequest{Channel: followingChannel, Events: []*eventstorev1.Event{{
					EventType: "LineAdded", AggregateType: "Order", AggregateId: fmt.Sprintf("%d-%d-%d", start.UnixNano(), i, n/eventsPerAggregate),
					EventData: []byte(`{"customer":"C-1001","total":129.90,"currency":"EUR","note":"` + strings.Repeat("x", aggregateNote) + `"}`),
				}}})
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wait.Wait()
	all, elapsed := slices.Concat(took...), time.Since(start)
	slices.Sort(all)
	return append([]figure{{what, float64(len(all)) / elapsed.Seconds(), perSecond}}, percentiles(what, all)...), errors.Join(errs...)
}

// besideRelay measures a publisher while a relay fills a new stream.
func (s *setup) besideRelay(ctx context.Context, f *freshServer, count uint64) ([]figure, error) {
	conn, err := f.connect(1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	nc, err := nats.Connect(f.URL)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	streams, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	relayed := func() (uint64, error) {
		stream, err := streams.Stream(ctx, followingStream)
		if err != nil {
			return 0, err
		}
		return stream.CachedInfo().State.Msgs, nil
	}
	var before uint64
	for before == 0 && ctx.Err() == nil {
		if before, err = relayed(); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
	cpu, elapsed, err := f.working(ctx, 2*s.limit)
	if err != nil {
		return nil, err
	}
	alone, err := relayed()
	if err != nil {
		return nil, err
	}
	figures := []figure{{followingRelayed + ", without publishers", float64(alone-before) / elapsed.Seconds(), perSecond},
		{"processor of the server for each of them", float64(cpu.Microseconds()) / float64(alone-before), microseconds}}
	start := time.Now()
	took, err := latencies(ctx, conn, []string{followingChannel}, eventBytes, 5*s.limit)
	if err != nil {
		return nil, err
	}
	elapsed = time.Since(start)
	after, err := relayed()
	if err == nil && after >= count {
		err = fmt.Errorf("the relay had caught up with %d events before %v were over: choose a shorter -limit", count, elapsed)
	}
	figures = append(figures, percentiles(followingOne+followingRelay, took)...)
	return append(figures, figure{followingRelayed, float64(after-alone) / elapsed.Seconds(), perSecond}), err
}

// working returns how much processor time the server uses in a while.
func (f *freshServer) working(ctx context.Context, while time.Duration) (cpu, elapsed time.Duration, err error) {
	before, start := measure.ProcessorTime(f.PID()), time.Now()
	select {
	case <-time.After(while):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	return measure.ProcessorTime(f.PID()) - before, time.Since(start), nil
}

// subscriptions is a child: subscriptions of the API that follow a channel, or read it from the first event on, and then again.
func subscriptions() error {
	url, channel, again := os.Args[1], os.Args[2], os.Args[3] == strconv.FormatBool(true)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var received atomic.Uint64
	var started, ended sync.WaitGroup
	started.Add(followers)
	failed := make(chan error, followers)
	for range followers {
		ended.Go(func() {
			api := eventStore(url)
			begun := sync.OnceFunc(started.Done)
			for ctx.Err() == nil {
				if err := subscribeOnce(ctx, api, channel, again, begun, &received); err != nil && ctx.Err() == nil {
					failed <- err
					return
				}
			}
		})
	}
	var since time.Time
	var before uint64
	go func() {
		started.Wait()
		since, before = time.Now(), received.Load()
		fmt.Println(childReady)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Printf("%s%f\n", childRate, float64(received.Load()-before)/time.Since(since).Seconds())
	ended.Wait()
	return nil
}

// subscribeOnce follows a channel, or reads it until it has caught up.
func subscribeOnce(ctx context.Context, api eventstorev1connect.EventStoreClient, channel string, replay bool, begun func(), received *atomic.Uint64) error {
	request := &eventstorev1.SubscribeRequest{Channel: channel}
	if !replay {
		request.Start = &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := api.Subscribe(ctx, request)
	if err != nil {
		return err
	}
	for stream.Receive() {
		begun()
		received.Add(uint64(len(stream.Msg().GetEvents())))
		if replay && stream.Msg().GetCaughtUp() {
			return nil
		}
	}
	return stream.Err()
}
