// Package conformance tests the NATS Streaming protocol from outside, message by message. The table follows the sections
// of the protocol's description.
package conformance

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of these tests' time is that of ack timeouts and heartbeats: as many as there are processors would wait for
	// nothing.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	harness.Main(m)
}

// kind says which server a test needs.
type kind int

const (
	shared    kind = iota // any; tests have clients and channels of their own
	debugging             // one that logs what happens to clients and subscriptions
	hasty                 // one that gives clients little time for heartbeats
	leisurely             // one that rarely asks for them
	replacing             // one that lets a subscription replace that of an active durable
	own                   // one of the test's own, since the test stops it
)

// The flags of each kind of server. A hasty server gives a silent client up after 7*(200ms+200ms), and one whose
// connection is gone after 7*200ms.
var flags = map[kind][]string{
	debugging: {"-SD"},
	hasty:     {"-hbi", "200ms", "-hbt", "200ms", "-hbf", "6"},
	leisurely: {"-hbi", "3s", "-hbt", "100ms"},
	replacing: {"-replace_durable"},
	own:       {"-SD"},
}

// stage is what a test plays on.
type stage struct {
	t      *testing.T
	server *harness.Server
	conn   *wire.Conn
	prefix string // of the test's clients and channels
}

var stages atomic.Int64

func newStage(t *testing.T, server *harness.Server) *stage {
	return &stage{t: t, server: server, conn: wire.Dial(t, server.URL()), prefix: fmt.Sprintf("t%d", stages.Add(1))}
}

// id is the test's own client ID of that name, which is good for a channel too.
func (s *stage) id(name string) string { return s.prefix + "-" + name }

// client registers a client that is the test's own.
func (s *stage) client(name string) *wire.Client {
	s.t.Helper()
	return s.conn.Register(s.id(name))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		for k := shared; k <= replacing; k++ {
			tests := selected(driver, k)
			if len(tests) == 0 {
				continue
			}
			t.Run(strings.Join(append([]string{"server"}, flags[k]...), " "), func(t *testing.T) {
				server := start(t, driver, source, k)
				t.Run("tests", func(t *testing.T) {
					for _, it := range tests {
						t.Run(it.section+" "+it.name, func(t *testing.T) {
							t.Parallel()
							it.run(newStage(t, server))
						})
					}
				})
				server.Stop() // the next kind of server has the same database
			})
		}
	})
	databases.Each(t, func(t *testing.T, driver, source string) {
		for _, it := range selected(driver, own) {
			t.Run(it.section+" "+it.name, func(t *testing.T) {
				server := start(t, driver, source, own)
				it.run(newStage(t, server))
				server.Stop()
			})
		}
	})
}

func start(t *testing.T, driver, source string, k kind) *harness.Server {
	return harness.Start(t, driver, source, flags[k]...)
}

// selected returns the tests for a kind of server on a database: all on SQLite, on the others those in which storage
// matters.
func selected(driver string, k kind) []test {
	var tests []test
	for _, it := range table {
		if it.kind == k && (it.storage || driver == "sqlite") {
			tests = append(tests, it)
		}
	}
	return tests
}
