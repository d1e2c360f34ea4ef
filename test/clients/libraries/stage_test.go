package libraries

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// stage is a server and a library that a test uses with it.
type stage struct {
	t       *testing.T
	library library
	server  *harness.Server
	nats    address
	forgets bool   // the store is in memory
	outside bool   // NATS is another program
	name    string // of the behaviour, and the prefix of its clients and channels
}

// place is where a server keeps its messages, and which NATS it uses.
type place struct {
	name  string
	start func(t *testing.T) *stage
}

var places = []place{
	{"MEMORY", func(t *testing.T) *stage {
		t.Helper()
		s := started(t, "-store", "MEMORY")
		s.forgets = true
		return s
	}},
	{"FILE", func(t *testing.T) *stage {
		t.Helper()
		return started(t, "-store", "FILE", "-dir", filepath.Join(t.TempDir(), "data"))
	}},
	{"PostgreSQL", func(t *testing.T) *stage {
		t.Helper()
		return started(t, "-store", "SQL", "-sql_driver", "postgres", "-sql_source", databases.Postgres(t))
	}},
	{"MariaDB", func(t *testing.T) *stage {
		t.Helper()
		return started(t, "-store", "SQL", "-sql_driver", "mysql", "-sql_source", databases.MySQL(t))
	}},
	{"external NATS", func(t *testing.T) *stage {
		t.Helper()
		ns := startNATS(t)
		s := started(t, "-store", "FILE", "-dir", filepath.Join(t.TempDir(), "data"), "-ns", ns.ClientURL())
		s.nats, s.outside = address{url: ns.ClientURL()}, true
		return s
	}},
	{"users and rights", func(t *testing.T) *stage {
		t.Helper()
		s := started(t, "-store", "FILE", "-dir", filepath.Join(t.TempDir(), "data"), "-c", write(t, "server.conf", users+events), "-access_file", write(t, "access.conf", rights))
		s.nats.url = strings.Replace(s.nats.url, "nats://", "nats://app:secret@", 1)
		return s
	}},
	{"TLS", func(t *testing.T) *stage {
		t.Helper()
		ca := authority.New(t)
		id := ca.Issue("server")
		s := started(t, "-store", "FILE", "-dir", filepath.Join(t.TempDir(), "data"), "-tls", "-tlscert", id.Cert, "-tlskey", id.Key)
		s.nats.ca = ca.File
		return s
	}},
}

// users and rights are what docs/operate/security.md says that an application needs.
const (
	users = `
authorization {
  users: [
    { user: app, password: secret, permissions {
      publish: ["_STAN.discover.test-cluster", "_STAN.discover.test-cluster.pings", "_STAN.close.test-cluster", "_INBOX.>", "_STAN.pub.test-cluster.>",
        "_STAN.sub.test-cluster", "_STAN.unsub.test-cluster", "_STAN.subclose.test-cluster"]
      subscribe: ["_INBOX.>", "_STAN.acks.>", "*"] } }
  ]
}
`
	// events are on channels of the behaviour wildcard alone.
	events = `
wildcards: true
events: { channels: "orders.wildcard.>", format: json, aggregate_id: "$.id", event_type: "= Changed" }
`
	rights = `principals: [ { name: app, nats_users: [app], consume: ["orders.>"] } ]`
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// started starts a server that sends heartbeats all the time, but has patience with those who answer late.
func started(t *testing.T, args ...string) *stage {
	t.Helper()
	if !slices.Contains(args, "-c") {
		args = append(args, "-c", write(t, "server.conf", events))
	}
	s := &stage{t: t, server: harness.New(t, harness.Binary(), append(args, "-hbi", "500ms", "-hbt", "30s")...)}
	s.server.Launch()
	s.server.Ready()
	s.nats.url = s.server.URL()
	return s
}

func startNATS(t *testing.T) *natsd.Server {
	t.Helper()
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(harness.Patience) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	return ns
}

// channel returns the name of a channel of this behaviour.
func (s *stage) channel() string { return "orders." + s.name }

// connect connects a client of this behaviour.
func (s *stage) connect(name string) client {
	s.t.Helper()
	c, err := s.try(name)
	if err != nil {
		s.t.Fatalf("connect %s: %v", name, err)
	}
	return c
}

func (s *stage) try(name string) (client, error) {
	s.t.Helper()
	return s.library.connect(s.t, s.nats, s.name+"-"+name)
}

func (s *stage) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

func (s *stage) subscribe(c client, o options) subscription {
	s.t.Helper()
	sub, err := c.subscribe(s.channel(), o)
	s.must("subscribe", err)
	return sub
}

// fill publishes messages 1 to n.
func (s *stage) fill(c client, n int) {
	s.t.Helper()
	for i := range n {
		s.must("publish", c.publish(s.channel(), fmt.Sprintf("m%d", i+1)))
	}
}

// expect receives messages in order, and acknowledges them.
func (s *stage) expect(sub subscription, sequences ...uint64) {
	s.t.Helper()
	for _, want := range sequences {
		m := next(s.t, sub)
		if m.sequence != want || m.redelivered {
			s.t.Fatalf("received %+v, want message %d", m, want)
		}
		s.must("ack", sub.ack(m.sequence))
	}
}
