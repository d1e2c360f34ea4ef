// Package fuzz sends arbitrary bytes and arbitrary sequences of requests to a server in the same process. So the fuzzer
// sees which code they reach, a panic is a failure, and goroutines can be counted.
//
// The seeds and the corpus in testdata run as ordinary tests; make fuzz searches for more.
package fuzz

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/server"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// patience bounds every wait. While the fuzzer runs it is less than ten seconds, after which Go reports a fuzz target as
// deadlocked, without details.
var patience = time.Minute

// clusterID is the cluster ID of every instance.
const clusterID = "fuzz"

// instance is a server with an empty database, and a connection to it.
type instance struct {
	before  map[string]bool // goroutines that existed before it
	ns      *natsd.Server
	nc      *nats.Conn
	stopRun context.CancelFunc
	ended   chan error
}

// startInstance starts a server and returns when it serves clients.
func startInstance(t testing.TB, driver, source string, set ...func(*config.Options)) *instance {
	t.Helper()
	i := &instance{before: make(map[string]bool), ended: make(chan error, 1)}
	for id := range goroutines() {
		i.before[id] = true
	}
	var err error
	if i.ns, err = natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoLog: true, NoSigs: true}); err != nil {
		t.Fatal(err)
	}
	i.ns.Start()
	if !i.ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	o := config.DefaultOptions()
	o.ClusterID = clusterID
	o.NATS = &natsd.Options{NoLog: true}
	o.NATSURL = i.ns.ClientURL()
	o.Store = stores.Options{Driver: driver, Source: source}
	for _, f := range set {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.stopRun = cancel
	go func() { i.ended <- server.Run(ctx, o) }()
	if i.nc, err = nats.Connect(o.NATSURL, nats.InProcessServer(i.ns), nats.MaxReconnects(0)); err != nil {
		t.Fatal(err)
	}
	i.awaitReady(t)
	return i
}

// awaitReady sends requests to every subject until one is answered.
func (i *instance) awaitReady(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, subject := range requestSubjects {
		for {
			_, err := i.nc.Request(subject, []byte("?"), patience)
			if err == nil {
				break
			}
			select {
			case err := <-i.ended:
				t.Fatalf("the server ended: %v", err)
			default:
			}
			if !errors.Is(err, nats.ErrNoResponders) || time.Now().After(deadline) {
				t.Fatalf("the server does not answer on %s: %v", subject, err)
			}
		}
	}
}

// stop stops the server. The test fails if it returns an error or leaves a goroutine behind.
func (i *instance) stop(t testing.TB) {
	t.Helper()
	i.stopRun()
	select {
	case err := <-i.ended:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the server does not stop:\n%s", describe(goroutines()))
	}
	i.nc.Close()
	i.ns.Shutdown()
	i.ns.WaitForShutdown()
	i.awaitGoroutines(t, "after the end of the server", func(id, stack string) bool { return !i.before[id] })
}

// awaitGoroutines waits until no goroutine is counted. They end shortly after their cause.
func (i *instance) awaitGoroutines(t testing.TB, when string, counted func(id, stack string) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := goroutines()
		for id, stack := range left {
			if !counted(id, stack) {
				delete(left, id)
			}
		}
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			t.Fatalf("goroutines are left %s:\n%s", when, describe(left))
		}
		time.Sleep(time.Millisecond) // polls: the runtime does not report the end of a goroutine
	}
}

// goroutines returns the stacks of all goroutines by ID, without the caller and those of the test framework.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for n, stack := range strings.Split(string(buf), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		if n > 0 && !strings.Contains(stack, "testing.") && !strings.Contains(stack, "internal/fuzz.") && !strings.Contains(stack, "os/signal.") {
			all[id] = stack
		}
	}
	return all
}

func describe(stacks map[string]string) string {
	var b strings.Builder
	for _, s := range stacks {
		fmt.Fprintf(&b, "%s\n\n", s)
	}
	return b.String()
}
