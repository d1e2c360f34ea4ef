// Package bank runs examples/bank as a process, with clients, while it, the event store and their database are killed.
package bank

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.MainPlain(m) }

var (
	kills    = flag.Int("kills", 3, "how often something is killed")
	seed     = flag.Uint64("seed", 0, "of kills and transfers; 0: random")
	progress = flag.Int("progress", 60, "transfers with an answer between two kills")
)

const (
	clients  = 32
	accounts = 16
	deposit  = 1_000_000 // cents of each account
)

// TestBank: 32 clients move money between accounts while the service, the event store and the database of both are killed with kill -9. No
// money appears or disappears; each transfer that was answered with success is in the log once, and one that was refused is not; the
// views say what the log says, and so do views that are built anew.
func TestBank(t *testing.T) {
	t.Parallel()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	s := startSystem(t)
	s.openAccounts()

	all := make([]*client, clients)
	answered := make(chan struct{}, clients)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range all {
		all[i] = &client{bank: s.url(), name: fmt.Sprint("client-", i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
		running.Go(func() { all[i].run(t, answered, stop) })
	}
	random := rand.New(rand.NewPCG(seed, clients))
	targets := []func(){s.killBank, s.killEvents, s.killDatabase}
	for n := range *kills {
		for range *progress {
			select {
			case <-answered:
			case <-time.After(patience):
				t.Fatalf("no transfer was answered within %v", patience)
			}
		}
		if n%len(targets) == 0 { // each once, in another order every time
			random.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		}
		targets[n%len(targets)]()
	}
	close(stop)
	go func() {
		for range answered { //nolint:revive // until the clients have ended
		}
	}()
	running.Wait()
	close(answered)
	s.check(all)
	harness.Verify(t, "postgres", s.database.DSN(eventsDatabase))
}

func startSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, database: databases.Own(t, databases.KindPostgres), program: build(t)}
	for _, name := range []string{eventsDatabase, viewsDatabase, rebuiltDatabase} {
		if err := s.database.CreateDatabase(name); err != nil {
			t.Fatal(err)
		}
	}
	s.apiPort, s.bankPort = port(t), port(t)
	s.events = harness.Start(t, "postgres", s.database.DSN(eventsDatabase), "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(s.apiPort))
	s.bank = s.launch(viewsDatabase, s.bankPort)
	return s
}
