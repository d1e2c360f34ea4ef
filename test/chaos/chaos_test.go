package chaos

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// make chaos CHAOS='-faults 500 -seed 7 -db postgres'
var (
	seed     = flag.Uint64("seed", 0, "seed of faults and clients; 0: random")
	faults   = flag.Int("faults", 5, "number of faults per database")
	progress = flag.Int("progress", 60, "publishes with an outcome between two faults")
	limit    = flag.Duration("for", 0, "time after which no more faults are injected; 0: no limit")
	only     = flag.String("db", "sqlite,postgres,mysql", "comma-separated databases")
	named    = flag.String("fault", "", "run only faults whose name contains this")
)

const (
	clients = 8
	// epochFaults is the number of faults after which clients switch to new aggregates and subscribers must have caught
	// up.
	epochFaults = 10
)

// TestChaos: clients publish and read while servers, connections and databases fail. One order of events must explain
// everything that they see: the event with version N is the Nth of its aggregate, no acknowledged event is lost, and no
// event is stored twice. Subscribers receive exactly these events. A decision through the API is stored if and only if no event
// after its position has its tags.
//
// The seed determines the faults, their order, and the choices of each client. Timing determines which operations a
// fault hits.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for driver := range strings.SplitSeq(*only, ",") {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			t.Logf("-seed %d", seed)
			chaos(t, newDatabase(t, driver), seed)
		})
	}
}

func chaos(t *testing.T, data *database, seed uint64) {
	kinds := slices.DeleteFunc(kindsOf(data.driver), func(f fault) bool { return !strings.Contains(f.name, *named) })
	if len(kinds) == 0 {
		t.Skipf("no fault has a name that contains %q", *named)
	}
	c := startCluster(t, data)
	var all []*client
	for i := range clients {
		all = append(all, newClient(t, c, i, rand.New(rand.NewPCG(seed, uint64(i)))))
	}
	readers := c.startReaders()
	keyed, picky, stopPausing := c.startConsumers(t.Context())
	c.picky = picky
	readers = append(readers, keyed.reader)
	stop := runAll(t, all)
	stopDeciders := c.startDeciders(seed)
	var stopPositions func()
	c.positions, stopPositions = c.startPositionReader()
	defer stopPositions()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var replaying sync.WaitGroup
	var replayed replays
	replaying.Go(func() {
		replayed = c.replay(ctx, rand.New(rand.NewPCG(seed, clients+1)), readers[0].reached)
	})
	c.writer = newClient(t, c, clients+3, rand.New(rand.NewPCG(seed, clients+4)))
	c.crowds = newCrowds(c, seed)
	for _, w := range c.crowds {
		replaying.Go(func() { w.run(ctx, readers[0].reached) })
	}
	c.await(*progress, 0)
	var r report
	for i, fault := range schedule(kinds, rand.New(rand.NewPCG(seed, clients)), *faults) {
		leader := c.leader()
		t.Logf("%v fault %d: %s (leader %d)", time.Since(c.start).Round(time.Millisecond), i+1, fault.name, leader)
		c.longestSilence()
		fault.run(c, leader, *progress)
		r.add(fault.name, c.longestSilence())
		if (i+1)%epochFaults == 0 {
			c.epoch.Add(1)
			c.readAllUp(readers)
		}
		if t.Failed() || *limit > 0 && time.Since(c.start) > *limit {
			break
		}
	}
	history, decisions := stop(), stopDeciders()
	cancel()
	replaying.Wait()
	stopPausing()
	c.readAllUp(readers)
	for _, w := range c.crowds {
		w.disperse()
	}
	c.readAllUp(readers)
	picky.replay(c)
	c.checkWritten()
	data.checkMembers(c.crowds)
	stopPositions()
	// Stopped servers have executed every request that clients sent.
	c.stopAll()
	history = append(history, c.final()...)
	verify(t, history)
	c.verifyDecisions(decisions)
	data.check()
	harness.Verify(t, data.driver, data.source)
	events, everything := data.events("sequence", "channel = '"+shared+"'"), data.events("position", "position IS NOT NULL")
	for _, reader := range readers {
		if reader.everything {
			reader.verify(t, everything)
		} else {
			reader.verify(t, events)
		}
		t.Logf("%s: %d events, %d of them redelivered, %d times out of order", reader.name, reader.complete, reader.redelivered, reader.outOfOrder)
	}
	picky.verify(t, events)
	c.positions.verify(t, everything)
	for _, w := range c.crowds {
		w.reader.verify(t, events)
		t.Logf("%s: %d groups, steps %v", w.name, w.group+1, w.steps)
	}
	t.Logf("replays: %d ended, %d could not begin", replayed.ended, replayed.interrupted)
	t.Logf("%s, seed %d, %v:\n%s", data.driver, seed, time.Since(c.start).Round(time.Second), &r)
}

// readAllUp waits until the readers and the crowds have acknowledged everything stored so far.
func (c *cluster) readAllUp(readers []*reader) {
	c.t.Helper()
	last, everything := c.number(lastShared), c.number("SELECT COALESCE(MAX(position), 0) FROM Messages")
	c.positions.await(c.t, everything)
	c.picky.settled(c, last)
	for _, r := range readers {
		if r.everything {
			r.await(c.t, everything)
		} else {
			r.await(c.t, last)
		}
	}
	for _, w := range c.crowds {
		w.catchUp(last)
	}
}

// lastShared is the statement for the last sequence of the channel shared.
const lastShared = "SELECT maxseq FROM Channels WHERE name = '" + shared + "'"

// number returns the only result of a statement.
func (c *cluster) number(text string) (n uint64) {
	c.t.Helper()
	if _, err := fmt.Sscan(c.data.column(text)[0], &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// final reads all aggregates.
func (c *cluster) final() []porcupine.Operation {
	c.t.Helper()
	var history []porcupine.Operation
	for epoch := range c.epoch.Load() + 1 {
		for _, key := range aggregatesOf(epoch) {
			call := c.clock()
			out, err := c.data.readAll(key)
			if err != nil || out.kind != all {
				c.t.Fatal("read the events: ", err)
			}
			history = append(history, porcupine.Operation{ClientId: clients, Input: operation{aggregate: key, read: true}, Call: call, Output: out, Return: c.clock()})
		}
	}
	return history
}

// verify checks a history that ends with a read of each aggregate. It also checks that the checker rejects a false
// history.
func verify(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	final := map[aggregate][]string{}
	for _, op := range history {
		if op.ClientId == clients {
			final[op.Input.(operation).aggregate] = op.Output.(result).ids
		}
	}
	counts := map[kind]int{}
	for _, op := range history {
		counts[op.Output.(result).kind]++
	}
	names := []string{"unknown", "stored", "conflicts", "taken identifiers", "reads", "reads of the last"}
	var summary string
	for k, name := range names {
		summary += fmt.Sprintf(", %d %s", counts[kind(k)], name)
	}
	checked := dropLost(history, final)
	t.Logf("%d operations%s", len(history), summary)
	// A SQL reader sees an event once it is committed. The server learns of the commit later, much later if the answer
	// to COMMIT is lost, and only then tells subscribers. So each kind of reader is checked with the publishers, but not
	// with the other kind.
	for name, other := range map[string]kind{"SQL": last, "subscribers": all} {
		view := slices.DeleteFunc(slices.Clone(checked), func(op porcupine.Operation) bool { return op.Output.(result).kind == other })
		start := time.Now()
		switch porcupine.CheckOperationsTimeout(model, view, time.Minute) {
		case porcupine.Ok:
			t.Logf("publishers and %s: checked in %v", name, time.Since(start).Round(time.Millisecond))
		case porcupine.Unknown:
			t.Fatalf("publishers and %s: the checker did not finish", name)
		default:
			t.Fatalf("publishers and %s: no order of events explains what clients saw%s", name, culprits(view))
		}
	}
	for _, k := range []kind{unknown, stored, conflict, all} {
		if counts[k] == 0 && (k != unknown || *faults >= 20) { // the servers hide some faults from all clients
			t.Errorf("no operations of kind %d: the test checks nothing", k)
		}
	}
	// Remove one acknowledged event, of the aggregate that leaves the checker the fewest orders to try.
	var mutated []porcupine.Operation
	for _, part := range partition(checked) {
		if slices.ContainsFunc(part, isStored) && (mutated == nil || open(part) < open(mutated)) {
			mutated = part
		}
	}
	for i := range slices.Backward(mutated) {
		if isStored(mutated[i]) {
			op := mutated[i].Input.(operation)
			op.id += "-lost"
			mutated[i].Input = op
			break
		}
	}
	if porcupine.CheckOperationsTimeout(model, mutated, time.Minute) != porcupine.Illegal {
		t.Error("a history that lacks an acknowledged event passes")
	}
}

func isStored(op porcupine.Operation) bool { return op.Output.(result).kind == stored }

// open counts the operations that never returned.
func open(part []porcupine.Operation) int {
	n := 0
	for _, op := range part {
		if op.Return == math.MaxInt64 {
			n++
		}
	}
	return n
}

// culprits lists the operations on the aggregates whose history has no explanation.
func culprits(history []porcupine.Operation) string {
	var b strings.Builder
	for _, part := range partition(history) {
		if porcupine.CheckOperationsTimeout(model, part, time.Minute) != porcupine.Illegal {
			continue
		}
		slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, op := range part {
			out := op.Output.(result)
			if n := len(out.ids); n > 3 {
				out.ids = append([]string{fmt.Sprintf("%d events to", n)}, out.ids[n-3:]...)
			}
			fmt.Fprintf(&b, "\n%v to %v client %d: %+v → %+v", time.Duration(op.Call).Round(time.Microsecond),
				time.Duration(min(op.Return, 1<<50)).Round(time.Microsecond), op.ClientId, op.Input, out)
		}
	}
	return b.String()
}
