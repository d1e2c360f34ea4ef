package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

const (
	deciders = 4
	// decisionsOne and decisionsTwo are the channels of decisions.
	decisionsOne, decisionsTwo = "eventstore.decisions.one", "eventstore.decisions.two"
	// deciderPause is the time between two decisions of one client, so that the checker has fewer to explain.
	deciderPause = 10 * time.Millisecond
)

// decider appends events with conditions through the API, and records what it sees.
type decider struct {
	cluster   *cluster
	number    int
	random    *rand.Rand
	transport *http.Transport
	servers   []eventstorev1connect.EventStoreClient
	at        int // the server in use

	seen    [4]uint64 // last position that it knows of, by tag
	epoch   int64     // of seen
	retry   *decision // one without an answer
	events  int
	history []porcupine.Operation
}

func newDecider(c *cluster, number int, seed uint64) *decider {
	d := &decider{cluster: c, number: number, random: rand.New(rand.NewPCG(seed, uint64(100+number)))}
	d.transport = &http.Transport{Protocols: new(http.Protocols)}
	d.transport.Protocols.SetUnencryptedHTTP2(true)
	for _, port := range c.apis {
		d.servers = append(d.servers, eventstorev1connect.NewEventStoreClient(
			&http.Client{Transport: d.transport}, "http://127.0.0.1:"+strconv.Itoa(port), connect.WithGRPC()))
	}
	return d
}

// run decides until ctx ends.
func (d *decider) run(ctx context.Context) error {
	defer d.transport.CloseIdleConnections()
	for ctx.Err() == nil {
		op := d.next()
		call := d.cluster.clock()
		out, err := d.append(op, patiences[d.random.IntN(len(patiences))])
		if err != nil {
			return fmt.Errorf("%+v: %w", op, err)
		}
		d.history = append(d.history, porcupine.Operation{ClientId: d.number, Input: op, Call: call, Output: out, Return: d.cluster.clock()})
		d.learn(op, out)
		time.Sleep(deciderPause)
	}
	return nil
}

// tag names one of the tags of an epoch.
func tag(epoch int64, n int) string { return fmt.Sprintf("tag:%d-%d", epoch, n) }

// next returns a decision: a retry of the unanswered one, or a new one, in most cases from what the client knows.
func (d *decider) next() decision {
	if d.retry != nil && d.random.IntN(4) > 0 {
		return *d.retry
	}
	if epoch := d.cluster.epoch.Load(); epoch != d.epoch {
		d.epoch, d.seen = epoch, [4]uint64{}
	}
	d.events++
	a, b := d.random.IntN(len(d.seen)), d.random.IntN(len(d.seen))
	op := decision{epoch: d.epoch, id: fmt.Sprintf("decision-%d-%d", d.number, d.events), pair: d.random.IntN(3) == 0}
	op.tags = []string{tag(d.epoch, a), tag(d.epoch, b)}
	op.none, op.after = []string{tag(d.epoch, a)}, d.seen[a]
	switch d.random.IntN(6) {
	case 0:
		op.none, op.after = slices.Compact(slices.Clone(op.tags)), max(d.seen[a], d.seen[b])
	case 1:
		op.none, op.after = []string{tag(d.epoch, b)}, d.seen[a] // an old position, or one from elsewhere
	}
	slices.Sort(op.tags)
	op.tags = slices.Compact(op.tags)
	return op
}

// learn updates the client's knowledge from an outcome.
func (d *decider) learn(op decision, out decided) {
	if out.kind == unknown {
		d.retry = &op
		d.at = (d.at + 1) % len(d.servers)
		return
	}
	tags, last := op.tags, out.position
	if out.kind == conflict {
		tags = op.none
	} else if op.pair {
		last++
	}
	for n := range d.seen {
		if slices.Contains(tags, tag(d.epoch, n)) {
			d.seen[n] = max(d.seen[n], last)
		}
	}
	if d.retry != nil && d.retry.id == op.id {
		d.retry = nil
	}
}

func (d *decider) append(op decision, wait time.Duration) (decided, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	events := []*eventstorev1.Event{{EventId: op.id, EventType: eventType, AggregateId: "decisions", Tags: op.tags}}
	req := &eventstorev1.AppendRequest{Channel: decisionsOne, Events: events, Conditions: []*eventstorev1.Condition{{
		Query:         &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Tags: op.none}}},
		AfterPosition: op.after,
	}}}
	if op.pair {
		req.More = []*eventstorev1.ChannelEvents{{Channel: decisionsTwo, Events: events}}
	}
	resp, err := d.servers[d.at].Append(ctx, req)
	if err != nil {
		return refusal(err)
	}
	places := resp.GetEvents()
	if op.pair && places[1].GetPosition() != places[0].GetPosition()+1 {
		return decided{}, fmt.Errorf("its events have the positions %d and %d", places[0].GetPosition(), places[1].GetPosition())
	}
	return decided{kind: stored, position: places[0].GetPosition()}, nil
}

// refusal reads an error of an append.
func refusal(err error) (decided, error) {
	var refused *connect.Error
	switch {
	case !errors.As(err, &refused) || !connect.IsWireError(err):
		return decided{}, nil // no answer
	case refused.Code() == connect.CodeUnavailable, refused.Code() == connect.CodeDeadlineExceeded, refused.Code() == connect.CodeCanceled:
		return decided{}, nil
	case refused.Code() == connect.CodeAborted:
		for _, detail := range refused.Details() {
			value, err := detail.Value()
			if why, ok := value.(*eventstorev1.ConditionConflict); err == nil && ok {
				return decided{kind: conflict, position: why.GetPosition()}, nil
			}
		}
	}
	return decided{}, err
}

// startDeciders runs clients that decide, until stop.
func (c *cluster) startDeciders(seed uint64) (stop func() []porcupine.Operation) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var all []*decider
	var wg sync.WaitGroup
	for n := range deciders {
		d := newDecider(c, n, seed)
		all = append(all, d)
		wg.Go(func() {
			if err := d.run(ctx); err != nil {
				c.t.Errorf("decider %d: %v", d.number, err)
			}
		})
	}
	return func() []porcupine.Operation {
		cancel()
		wg.Wait()
		var history []porcupine.Operation
		for _, d := range all {
			history = append(history, d.history...)
		}
		return history
	}
}

// verifyDecisions checks a history of decisions against what is stored in the end.
func (c *cluster) verifyDecisions(history []porcupine.Operation) {
	c.t.Helper()
	events := map[int64][]decidedEvent{}
	epochs := map[string]int64{}
	counts := map[kind]int{}
	for _, op := range history {
		in := op.Input.(decision)
		epochs[in.id] = in.epoch
		counts[op.Output.(decided).kind]++
	}
	for _, row := range c.data.column("SELECT CONCAT(position, ' ', event_id) FROM events WHERE channel LIKE 'eventstore.decisions.%' ORDER BY position") {
		var e decidedEvent
		if _, err := fmt.Sscan(row, &e.position, &e.id); err != nil {
			c.t.Fatal(err)
		}
		events[epochs[e.id]] = append(events[epochs[e.id]], e)
	}
	for epoch := range c.epoch.Load() + 1 {
		history = append(history, porcupine.Operation{ClientId: deciders, Input: decision{epoch: epoch, read: true},
			Call: c.clock(), Output: decided{kind: all, events: events[epoch]}, Return: c.clock()})
	}
	start := time.Now()
	switch porcupine.CheckOperationsTimeout(decisionModel, settleDecisions(history), time.Minute) {
	case porcupine.Ok:
		c.t.Logf("decisions: %d stored, %d conflicts, %d without an answer, checked in %v", counts[stored], counts[conflict], counts[unknown], time.Since(start).Round(time.Millisecond))
	case porcupine.Unknown:
		c.t.Error("decisions: the checker did not finish")
	default:
		c.t.Error("decisions: no order of events explains what clients saw")
	}
	if counts[stored] == 0 || counts[conflict] == 0 {
		c.t.Errorf("decisions: %v: the test checks nothing", counts)
	}
}
