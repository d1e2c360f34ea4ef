// Package attack tries what docs/operate/security.md says is impossible, as somebody with the documented minimal permissions would: on an
// embedded NATS server that authenticates its clients, and on an external one.
package attack

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func TestMain(m *testing.M) { harness.Main(m) }

// users are the users of NATS: a victim and an attacker, each with the permissions of an application that publishes to its own
// channels and subscribes, the streaming part of a server whose NATS is external, and somebody who may do everything.
const users = `
authorization {
  users: [
    { user: victim, password: secret, permissions {
      publish: ["_STAN.discover.test-cluster", "_STAN.discover.test-cluster.pings", "_STAN.close.test-cluster", "_STAN.sub.test-cluster",
        "_STAN.unsub.test-cluster", "_STAN.subclose.test-cluster", "_INBOX.>", "_STAN.pub.test-cluster.victim.>", "_STAN.pub.test-cluster.eventstore.>"]
      subscribe: ["_INBOX.>", "_STAN.acks.>"] } }
    { user: mallory, password: secret, permissions {
      publish: ["_STAN.discover.test-cluster", "_STAN.discover.test-cluster.pings", "_STAN.close.test-cluster", "_STAN.sub.test-cluster",
        "_STAN.unsub.test-cluster", "_STAN.subclose.test-cluster", "_INBOX.>", "_STAN.pub.test-cluster.mallory.>"]
      subscribe: ["_INBOX.>", "_STAN.acks.>"] } }
    { user: streaming, password: secret, permissions {
      publish: ["_INBOX.>", "_STAN.acks.>", "_R_.>", "_STAN.discover.test-cluster", "_STAN.close.test-cluster",
        "ORDERS.>", "$JS.API.STREAM.INFO.ORDERS", "$JS.API.STREAM.CREATE.ORDERS", "$JS.API.STREAM.MSG.GET.ORDERS", "$JS.API.DIRECT.GET.ORDERS"]
      subscribe: ["_STAN.>", "_INBOX.>"] } }
    { user: admin, password: secret }
  ]
}
`

const streaming = `
streaming {
  routes { from: "eventstore.>", stream: ORDERS, subject: "ORDERS.{event_type}" }
}
`

// stage is a server with JetStream, and a stream that its relay fills.
type stage struct {
	t      *testing.T
	server *harness.Server
	source string // the SQLite database
	nats   string // host and port
}

// everywhere runs a test on an embedded and on an external NATS server. conf is appended to the server's configuration.
func everywhere(t *testing.T, conf string, test func(s *stage)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(embedded(t, conf))
	})
	t.Run("external", func(t *testing.T) {
		t.Parallel()
		file := write(t, "nats.conf", fmt.Sprintf("jetstream { store_dir: %q }\n", t.TempDir())+users)
		o, err := natsd.ProcessConfigFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, true
		ns, err := natsd.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		t.Cleanup(func() {
			ns.Shutdown()
			ns.WaitForShutdown()
		})
		if !ns.ReadyForConnections(wire.Patience) {
			t.Fatal("NATS did not start")
		}
		address := strings.TrimPrefix(ns.ClientURL(), "nats://")
		s := &stage{t: t, source: databases.SQLite(t), nats: address}
		s.server = harness.Start(t, "sqlite", s.source, "-c", write(t, "server.conf", streaming+conf), "-ns", "nats://streaming:secret@"+address)
		test(s)
	})
}

// embedded starts a server with an embedded NATS server.
func embedded(t *testing.T, conf string, args ...string) *stage {
	s := &stage{t: t, source: databases.SQLite(t)}
	file := write(t, "server.conf", fmt.Sprintf("jetstream { store_dir: %q }\n", t.TempDir())+users+streaming+conf)
	s.server = harness.Start(t, "sqlite", s.source, append([]string{"-c", file}, args...)...)
	s.nats = fmt.Sprintf("127.0.0.1:%d", s.server.Port)
	return s
}

// external reports whether NATS is external.
func (s *stage) external() bool { return s.nats != fmt.Sprintf("127.0.0.1:%d", s.server.Port) }

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// as connects to NATS as a user.
func (s *stage) as(user string, opts ...nats.Option) *wire.Conn {
	s.t.Helper()
	return wire.Dial(s.t, "nats://"+user+":secret@"+s.nats, opts...)
}

// client connects a NATS Streaming client as a user.
func (s *stage) client(user, id string) stan.Conn {
	s.t.Helper()
	sc, err := stan.Connect(wire.Cluster, id, stan.NatsURL("nats://"+user+":secret@"+s.nats), stan.ConnectWait(wire.Patience),
		stan.PubAckWait(wire.Patience), stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { s.t.Errorf("client %s was lost: %v", id, err) }))
	if err != nil {
		s.t.Fatalf("connect %s: %v", id, err)
	}
	s.t.Cleanup(func() { _ = sc.Close() })
	return sc
}

// stream returns the stream of the relay, with one message.
func (s *stage) stream() jetstream.Stream {
	s.t.Helper()
	js, err := jetstream.New(s.as("admin").Conn)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), wire.Patience)
	s.t.Cleanup(cancel)
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.>"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// intact checks that the stream still exists and holds as many messages.
func (s *stage) intact(stream jetstream.Stream, messages uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wire.Patience)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		s.t.Fatalf("the stream is gone: %v", err)
	}
	if info.State.Msgs != messages {
		s.t.Errorf("the stream has %d messages, want %d", info.State.Msgs, messages)
	}
}

// deliveries subscribes and returns what arrives.
func (s *stage) deliveries(sc stan.Conn, channel string, opts ...stan.SubscriptionOption) (stan.Subscription, <-chan *stan.Msg) {
	s.t.Helper()
	in := make(chan *stan.Msg, 1000)
	sub, err := sc.Subscribe(channel, func(m *stan.Msg) { in <- m }, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub, in
}

func (s *stage) next(in <-chan *stan.Msg) *stan.Msg {
	s.t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(wire.Patience):
		s.t.Fatal("no message arrived")
		return nil
	}
}

func (s *stage) publish(sc stan.Conn, channel string, data ...string) {
	s.t.Helper()
	for _, d := range data {
		if err := sc.Publish(channel, []byte(d)); err != nil {
			s.t.Fatalf("publish to %s: %v", channel, err)
		}
	}
}

// connectRequest is one of a client of protocol 1.
func connectRequest(id, inbox string) *pb.ConnectRequest {
	return &pb.ConnectRequest{ClientID: id, HeartbeatInbox: inbox, Protocol: 1, ConnID: []byte(nats.NewInbox()), PingInterval: 5, PingMaxOut: 3}
}

// channels returns the names of the channels in the database.
func (s *stage) channels() []string {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.source)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(s.t.Context(), "SELECT name FROM Channels ORDER BY name")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return names
}

// refusedStart runs the server and returns its output. It must not start.
func refusedStart(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Binary(), append([]string{"-a", "127.0.0.1", "-p", "-1"}, args...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the server started")
	}
	return string(out)
}
