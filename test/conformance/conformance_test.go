// Package conformance tests the NATS Streaming protocol from outside, message by message. The table follows the sections
// of the protocol description.
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
	// Most of these tests wait for ack timeouts and heartbeats. One test per processor would leave the machine idle.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	harness.Main(m)
}

// kind is the kind of server that a test needs.
type kind int

const (
	shared    kind = iota // any server: tests use their own clients and channels
	debugging             // logs what happens to clients and subscriptions
	hasty                 // gives clients little time for heartbeats
	leisurely             // rarely sends heartbeats
	replacing             // lets a subscription replace an active durable
	own                   // a server of its own, because the test stops it
)

// flags are those of each kind of server. A hasty server closes a silent client after 7*(200ms+200ms), and one whose
// connection is gone after 7*200ms.
var flags = map[kind][]string{
	debugging: {"-SD"},
	hasty:     {"-hbi", "200ms", "-hbt", "200ms", "-hbf", "6"},
	leisurely: {"-hbi", "10s", "-hbt", "100ms"},
	replacing: {"-replace_durable"},
	own:       {"-SD"},
}

// stage is a test's server, connection and name prefix.
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

// id returns a client ID that is unique to the test and also valid as a channel.
func (s *stage) id(name string) string { return s.prefix + "-" + name }

// client registers a client that is unique to the test.
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
				server.Stop() // the next kind of server uses the same database
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

// selected returns the tests for a kind of server on a database: all on SQLite, elsewhere those that depend on storage.
func selected(driver string, k kind) []test {
	var tests []test
	for _, it := range table {
		if it.kind == k && (it.storage || driver == "sqlite") {
			tests = append(tests, it)
		}
	}
	return tests
}
