package history

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// go test ./test/history -args -seed 7 -faults 100 -progress 500
var (
	seed     = flag.Uint64("seed", 0, "seed of the faults and of what clients do; 0: a new one")
	faults   = flag.Int("faults", 5, "number of faults on each database")
	progress = flag.Int("progress", 150, "outcomes that clients see between two faults")
)

const clients = 8

// TestHistory: what clients see while servers and connections fail is explained by one order of events, in which the event
// with version N is the Nth of its aggregate, nothing acknowledged is lost, and no event is there twice.
//
// A seed gives the faults, their order, and the choices of each client. Which operations a fault meets is a matter of time.
func TestHistory(t *testing.T) {
	t.Parallel()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		t.Logf("-seed %d", seed)
		c := startCluster(t, driver, source)
		var all []*client
		for i := range clients {
			all = append(all, newClient(t, c, i, rand.New(rand.NewPCG(seed, uint64(i)))))
		}
		stop := runAll(t, all)
		c.await(*progress, 0)
		for i, fault := range schedule(c, rand.New(rand.NewPCG(seed, clients))) {
			c.mu.Lock()
			active := c.active
			c.mu.Unlock()
			t.Logf("%v fault %d: %s", time.Since(c.start).Round(time.Millisecond), i+1, fault.name)
			fault.run(active, *progress)
		}
		history := stop()
		// Stopped, they have done all that clients ever asked them.
		for _, s := range c.servers {
			s.Stop()
		}
		history = append(history, c.last()...)
		verify(t, history)
	})
}

type fault struct {
	name string
	run  func(server, progress int)
}

// schedule draws the faults: each kind once before one comes again.
func schedule(c *cluster, random *rand.Rand) []fault {
	// No pause on SQLite: who is paused within a transaction keeps the lock of the file, and nobody can take over.
	kinds := []fault{{"kill", c.kill}, {"lock", c.lock}}
	if c.driver != "sqlite" {
		kinds = []fault{{"kill", c.kill}, {"pause", c.pause}, {"cut", c.cut}, {"stall", c.stall}, {"commits", c.commits}}
	}
	kinds = append(kinds, fault{"restart", c.restart})
	var all []fault
	for len(all) < *faults {
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		all = append(all, kinds...)
	}
	return all[:*faults]
}

// last reads all aggregates.
func (c *cluster) last() []porcupine.Operation {
	c.t.Helper()
	var history []porcupine.Operation
	for _, key := range aggregates {
		call := c.clock()
		out, err := c.readAll(c.t.Context(), key)
		if err != nil {
			c.t.Fatal(err)
		}
		history = append(history, porcupine.Operation{ClientId: clients, Input: operation{aggregate: key, read: true}, Call: call, Output: out, Return: c.clock()})
	}
	return history
}

// verify checks a history that ends with a read of each aggregate, and that the checker sees a false one.
func verify(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	final := map[aggregate][]string{}
	for _, op := range history[len(history)-len(aggregates):] {
		final[op.Input.(operation).aggregate] = op.Output.(result).ids
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
	settled := settle(history, final)
	t.Logf("%d operations%s", len(history), summary)
	// Who reads with SQL sees an event when it is committed; the server knows a moment later, or much later if the
	// answer to its COMMIT is lost, and tells its subscribers then. So each kind of reader is checked with the
	// publishers, and not with the other kind.
	for name, other := range map[string]kind{"SQL": last, "subscribers": all} {
		view := slices.DeleteFunc(slices.Clone(settled), func(op porcupine.Operation) bool { return op.Output.(result).kind == other })
		start := time.Now()
		switch porcupine.CheckOperationsTimeout(model, view, time.Minute) {
		case porcupine.Ok:
			t.Logf("publishers and %s: checked in %v", name, time.Since(start).Round(time.Millisecond))
		case porcupine.Unknown:
			t.Fatalf("publishers and %s: the checker did not come to an end", name)
		default:
			t.Fatalf("publishers and %s: no order of events explains what clients saw", name)
		}
	}
	for _, k := range []kind{unknown, stored, conflict, all} {
		if counts[k] == 0 {
			t.Errorf("no operations of kind %d: the test sees nothing", k)
		}
	}
	// The same without one acknowledged event.
	mutated := slices.Clone(settled)
	for i := range slices.Backward(mutated) {
		if mutated[i].Output.(result).kind == stored {
			op := mutated[i].Input.(operation)
			op.id += "-lost"
			mutated[i].Input = op
			break
		}
	}
	if porcupine.CheckOperationsTimeout(model, mutated, time.Minute) != porcupine.Illegal {
		t.Error("a history with an acknowledged event that is not there passes")
	}
}
