// Package differential runs the same scenarios against NATS Streaming's own server and ours, and compares what a client
// observes on the wire.
package differential

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The scenarios wait for ack timeouts and heartbeats, not for processors.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	harness.Main(m)
}

// fastBeats are the flags of both servers in scenarios about heartbeats.
var fastBeats = []string{"-hbi", "200ms", "-hbt", "200ms", "-hbf", "6"}

// pair is the two servers.
type pair struct{ theirs, ours *harness.Server }

func startPair(t *testing.T, reference string, store string, args ...string) pair {
	t.Helper()
	p := pair{
		theirs: harness.New(t, reference, append([]string{"-store", store, "-dir", t.TempDir()}, args...)...),
		ours:   harness.New(t, harness.Binary(), append([]string{"-store", "SQL", "-sql_driver", "sqlite", "-sql_source", databases.SQLite(t)}, args...)...),
	}
	for _, s := range []*harness.Server{p.theirs, p.ours} {
		s.Launch()
		s.Ready()
	}
	return p
}

func TestDifferential(t *testing.T) {
	t.Parallel()
	reference, err := upstream.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var used usage
	t.Run("scenarios", func(t *testing.T) {
		group := func(name, store string, scenarios []scenario, args ...string) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				servers := startPair(t, reference, store, args...)
				t.Run("each", func(t *testing.T) {
					for _, sc := range scenarios {
						t.Run(sc.name, func(t *testing.T) {
							t.Parallel()
							compare(t, servers, sc, &used)
						})
					}
				})
			})
		}
		group("plain", "MEMORY", scenarios)
		group("random", "MEMORY", randomScenarios())
		group("heartbeats", "MEMORY", heartbeatScenarios, fastBeats...)
		group("replace", "MEMORY", replaceScenarios, "-replace_durable")
		for _, sc := range restartScenarios {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				compare(t, startPair(t, reference, "FILE"), sc, &used)
			})
		}
	})
	if !t.Failed() && flag.Lookup("test.run").Value.String() == "" {
		used.check(t)
	}
}

var plays atomic.Int64

// compare runs the scenario on both servers and compares the observations line by line.
func compare(t *testing.T, servers pair, sc scenario, used *usage) {
	prefix := fmt.Sprintf("p%d-", plays.Add(1))
	var theirs, ours []string
	t.Run("play", func(t *testing.T) {
		record := func(name string, s *harness.Server, lines *[]string) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newPlay(t, s, prefix)
				sc.play(p)
				*lines = p.lines
			})
		}
		record("theirs", servers.theirs, &theirs)
		record("ours", servers.ours, &ours)
	})
	if t.Failed() {
		return
	}
	if len(theirs) != len(ours) {
		t.Errorf("lengths differ:\ntheirs:\n%s\nours:\n%s", strings.Join(theirs, "\n"), strings.Join(ours, "\n"))
		return
	}
	for i := range theirs {
		if theirs[i] != ours[i] && !used.intended(sc.name, theirs[i], ours[i]) {
			t.Errorf("line %d differs:\ntheirs: %s\nours:   %s\nafter:\n%s", i+1, theirs[i], ours[i], strings.Join(ours[max(0, i-8):i], "\n"))
		}
	}
}
