package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	consumersChannel = "eventstore.bench-consumers"
	defaultRate      = 5000 // redelivery_rate, in messages per second

	groupMembers = 16
	groupKeys    = 10_000
	groupName    = "queue group of 16 members, 10,000 aggregates"
	groupBacklog = "backlog"
	groupLive    = "live"
	unordered    = "unordered"
	orderedGroup = "ordered by aggregate"

	idleDurables  = 10_000
	idleName      = "10,000 idle durables"
	stormDurables = 21
	stormName     = "21 durables that never acknowledge, AckWait 1 s"

	ofACore = "% of a core"
)

// consumersConfig is the configuration of the section's servers. The names of durables and queue groups choose their settings.
const consumersConfig = `streaming {
	consumers: [
		{ names: ["ordered-*"], order_by: aggregate }
		{ names: ["set-*"], order_by: aggregate, max_deliveries: 20, backoff: ["1s", "5s"], filter { types: ["Order*"] } }
	]
	redelivery_rate: %d
}
`

// consumersTrials measure what the settings of consumers cost, and what is left of a core while consumers do not acknowledge.
func consumersTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	if !s.peers.Has(ours) {
		return nil, nil
	}
	for _, database := range allDatabases {
		if !s.databases.Has(database) {
			continue
		}
		id := peerID{ours, database}
		with := func(rate int, take ...consumersStep) func(context.Context) ([]figure, error) {
			return func(ctx context.Context) ([]figure, error) { return s.withConsumers(ctx, database, rate, take...) }
		}
		all = append(all, trial{groupName, id, eventBytes, with(defaultRate, s.fillBacklog, s.orderedGroups)})
		if database != "sqlite" {
			continue
		}
		all = append(all,
			trial{idleName, id, eventBytes, with(defaultRate, idleConsumers("plain-"))},
			trial{idleName + ", with settings", id, eventBytes, with(defaultRate, idleConsumers("set-"))},
			trial{stormName + ", redelivery_rate 5,000", id, eventBytes, with(defaultRate, s.storm)},
			trial{stormName + ", redelivery_rate 0", id, eventBytes, with(0, s.storm)})
	}
	return all, nil
}

// consumersStep is what a server is started for.
type consumersStep func(context.Context, *streaming) ([]figure, error)

// withConsumers starts a server on an empty database, and again for each further step: what it does not read from the database, it
// has read since.
func (s *setup) withConsumers(ctx context.Context, database string, rate int, steps ...consumersStep) (all []figure, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "consumers-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, consumersConfig, rate), 0o600); err != nil {
		return nil, err
	}
	args := []string{"-c", file, "-store", "FILE", "-dir", dir}
	if database != "sqlite" {
		source, err := s.database(database, filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		args = []string{"-c", file, "-store", "SQL", "-sql_driver", database, "-sql_source", source}
	}
	for _, step := range steps {
		p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, args))
		if err != nil {
			return nil, err
		}
		figures, err := step(ctx, newStreaming(p, s.options))
		if err = errors.Join(err, p.Stop()); err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

// fillBacklog publishes what orderedGroups reads first.
func (s *setup) fillBacklog(ctx context.Context, c *streaming) ([]figure, error) {
	conn, err := c.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // the server ends next
	return nil, publishKeyed(ctx, conn, s.n)
}

// orderedGroups measures an ordered queue group and the same group without order, of a backlog and while events are published.
func (s *setup) orderedGroups(ctx context.Context, c *streaming) (all []figure, err error) {
	conns, leave, err := c.connectAll(groupMembers, wideWindow)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, it := range []struct {
		what, order, group string
		start              stan.SubscriptionOption
		publish            int
	}{
		{groupBacklog, unordered, "plain-", stan.DeliverAllAvailable(), 0},
		{groupBacklog, orderedGroup, "ordered-", stan.DeliverAllAvailable(), 0},
		{groupLive, unordered, "plain-", stan.StartAt(pb.StartPosition_NewOnly), s.n},
		{groupLive, orderedGroup, "ordered-", stan.StartAt(pb.StartPosition_NewOnly), s.n},
	} {
		g := &benchGroup{name: it.group + it.what, done: make(chan struct{}), target: int64(s.n)}
		before := measure.ProcessorTime(c.PID())
		took, err := g.run(ctx, conns, it.start, func() error { return publishKeyed(ctx, conns[0], it.publish) })
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", it.what, it.order, err)
		}
		used := measure.ProcessorTime(c.PID()) - before
		all = append(all, figure{it.what + ", " + it.order, float64(s.n) / took.Seconds(), perSecond},
			figure{it.what + ", " + it.order + ", processor of the server", float64(used.Microseconds()) / float64(s.n), microseconds})
	}
	return all, nil
}

// publishKeyed publishes events of random aggregates.
func publishKeyed(ctx context.Context, conn stan.Conn, n int) error {
	of := templateOf(eventBytes)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	return publishMade(ctx, conn, n, func(b []byte) []byte { return of.make(b, random.Int64N(groupKeys)) }, func(int) string { return consumersChannel })
}

// benchGroup is a queue group whose members acknowledge at once.
type benchGroup struct {
	name     string
	received atomic.Int64
	target   int64
	done     chan struct{}
}

// run returns how long the group takes to receive what do publishes.
func (g *benchGroup) run(ctx context.Context, conns []stan.Conn, start stan.SubscriptionOption, do func() error) (took time.Duration, err error) {
	began := time.Now()
	for _, conn := range conns {
		sub, err := conn.QueueSubscribe(consumersChannel, g.name, func(m *stan.Msg) {
			if !m.Redelivered && g.received.Add(1) == g.target {
				close(g.done)
			}
		}, start)
		if err != nil {
			return 0, err
		}
		defer func() { _ = sub.Unsubscribe() }() // what was measured is over
	}
	if err := do(); err != nil {
		return 0, err
	}
	select {
	case <-g.done:
		return time.Since(began), nil
	case <-time.After(leaveAfter):
		return 0, fmt.Errorf("%d of %d events after %v", g.received.Load(), g.target, leaveAfter)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// busy returns how much of a core a process uses in a while.
func busy(ctx context.Context, pid int, while time.Duration) (float64, error) {
	before, start := measure.ProcessorTime(pid), time.Now()
	select {
	case <-time.After(while):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return 100 * (measure.ProcessorTime(pid) - before).Seconds() / time.Since(start).Seconds(), nil
}

// idleConsumers measures durables, with names that begin with a text, that have nothing to do.
func idleConsumers(prefix string) consumersStep {
	return func(ctx context.Context, c *streaming) ([]figure, error) {
		before, err := memory(c.PID(), "VmRSS")
		if err != nil {
			return nil, err
		}
		conn, err := c.connect(wideWindow)
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }() // what was measured is over
		for i := range idleDurables {
			if _, err := conn.Subscribe(consumersChannel, func(*stan.Msg) {}, stan.DurableName(prefix+strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		cpu, err := busy(ctx, c.PID(), 5*time.Second)
		if err != nil {
			return nil, err
		}
		after, err := memory(c.PID(), "VmRSS")
		return []figure{{"processor", cpu, ofACore}, {"each durable", (after - before) * (1 << 20) / idleDurables, "bytes"}}, err
	}
}

// storm measures what durables that never acknowledge cost while all that they were sent comes again.
func (s *setup) storm(ctx context.Context, c *streaming) ([]figure, error) {
	conns, leave, err := c.connectAll(stormDurables, wideWindow)
	if err != nil {
		return nil, err
	}
	defer leave()
	messages := s.n / 10
	if s.full {
		messages = min(3*s.n, 262_144) // a server gives no subscription more
	}
	if err := publishKeyed(ctx, conns[0], messages); err != nil {
		return nil, err
	}
	var received, twice atomic.Int64
	for _, conn := range conns {
		if _, err := conn.Subscribe(consumersChannel, func(m *stan.Msg) {
			if received.Add(1); m.RedeliveryCount == 1 {
				twice.Add(1)
			}
		}, stan.DurableName("storm"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Second), stan.MaxInflight(messages)); err != nil {
			return nil, err
		}
	}
	// Each message is sent twice before the rate counts.
	for last, quiet := int64(0), time.Now(); twice.Load() < int64(stormDurables*messages); time.Sleep(100 * time.Millisecond) {
		if n := twice.Load(); n > last {
			last, quiet = n, time.Now()
		}
		if time.Since(quiet) > leaveAfter || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("%d messages were sent again, and no others are", last), ctx.Err())
		}
	}
	before := received.Load()
	const while = 10 * time.Second
	cpu, err := busy(ctx, c.PID(), while)
	if err != nil {
		return nil, err
	}
	mib, err := memory(c.PID(), "VmRSS")
	return []figure{{"processor", cpu, ofACore}, {"redeliveries", float64(received.Load()-before) / while.Seconds(), perSecond}, {"memory", mib, mebibytes}}, err
}
