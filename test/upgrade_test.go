package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// formerAckWait is the AckWait of the applications. They settle before the first redelivery, and a test can wait for it
// after the upgrade.
const formerAckWait = 4 * time.Second

// formerLimits is the configuration of both servers.
const formerLimits = `limits { channels {
	limited: { max_msgs: 3 }
	expired: { max_age: "1s" }
	gone: { max_inactivity: "1s" }
} }`

// startUpstream runs NATS Streaming 0.25.6.
func startUpstream(t *testing.T, args ...string) *server {
	t.Helper()
	former, err := upstream.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s := prepare(t, former, append([]string{"-sc", config(t, formerLimits)}, args...)...)
	s.Launch()
	s.Ready()
	return s
}

// upgrade starts the server under test in place of the one that has ended, with the same arguments except the changed
// ones.
func (s *server) upgrade(args ...string) {
	s.t.Helper()
	s.Binary = harness.Binary()
	if len(args) > 0 {
		s.Args = append(s.Args[:6:6], args...)
	}
	s.Restart()
}

// createFormerTables runs the script of NATS Streaming's release.
func createFormerTables(t *testing.T, driver, source string) {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", upstream.Module+"@"+upstream.Version).Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(module.Dir, "scripts", driver+".db.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(script)) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	for statement := range strings.SplitSeq(strings.Join(lines, ""), ";") {
		if strings.TrimSpace(statement) != "" {
			query(t, driver, source, statement)
		}
	}
}

// application is a client that outlives its server.
type application struct {
	stan.Conn
	reconnected  chan struct{}
	disconnected chan struct{}
}

func connectApplication(t *testing.T, s *server, id string) *application {
	t.Helper()
	app := &application{reconnected: make(chan struct{}, 100), disconnected: make(chan struct{}, 100)}
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { app.reconnected <- struct{}{} }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { app.disconnected <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	app.Conn = s.connect(id, stan.NatsConn(nc), stan.Pings(1, 1000),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { t.Errorf("client %s: %v", id, err) }))
	return app
}

// reader is the members of one group, and the applications that run them.
type reader struct {
	inbox
	upgraded atomic.Bool // from then on, each message is acknowledged on arrival
	name     string
	join     func(app *application)
	members  []*application
	offline  bool     // the members leave before the upgrade
	acked    []uint64 // of messages 1 to 6
}

// former is the state that applications left in a server of NATS Streaming, and their connections.
type former struct {
	one, two, idle *application
	readers        []*reader
}

const formerMessages = 6

// populate makes applications use every feature whose state outlives a server.
func populate(t *testing.T, s *server) *former {
	t.Helper()
	f := &former{one: connectApplication(t, s, "one"), two: connectApplication(t, s, "two"), idle: connectApplication(t, s, "idle")}
	one, both := []*application{f.one}, []*application{f.one, f.two}
	f.readers = []*reader{
		{name: "plain", members: one, acked: []uint64{1, 2, 3, 4}},
		{name: "durable", members: one, acked: []uint64{1, 3, 5}},
		{name: "offline durable", members: one, offline: true, acked: []uint64{1, 4}},
		{name: "queue", members: both, acked: []uint64{2, 4, 6}},
		{name: "durable queue", members: both, acked: []uint64{1, 2, 3, 4, 5}},
		{name: "offline durable queue", members: both, offline: true, acked: []uint64{1, 2, 3}},
	}
	fill(t, f.one, "shop", formerMessages)
	fill(t, f.two, "limited", 10)
	fill(t, f.two, "expired", 3)
	fill(t, f.two, "gone", 2)
	var leave []stan.Subscription
	for _, r := range f.readers {
		r.inbox = newInbox()
		options := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(formerAckWait)}
		if strings.Contains(r.name, "durable") {
			options = append(options, stan.DurableName(strings.ReplaceAll(r.name, " ", "-")))
		}
		r.join = func(app *application) {
			t.Helper()
			var sub stan.Subscription
			var err error
			handler := func(m *stan.Msg) {
				if r.upgraded.Load() {
					_ = m.Ack() // an error means that the test has ended
				}
				r.inbox <- m
			}
			if strings.Contains(r.name, "queue") {
				sub, err = app.QueueSubscribe("shop", "workers", handler, options...)
			} else {
				sub, err = app.Subscribe("shop", handler, options...)
			}
			if err != nil {
				t.Fatalf("%s: %v", r.name, err)
			}
			if r.offline {
				leave = append(leave, sub)
			}
		}
		for _, app := range r.members {
			r.join(app)
		}
		for range formerMessages {
			m := r.next(t)
			if slices.Contains(r.acked, m.Sequence) {
				if err := m.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, app := range []*application{f.one, f.two} {
		// A server has processed a client's acks when it answers a later request of that client.
		sub, _ := subscribe(t, app, "flush")
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range leave {
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s.WaitLog(t, `Channel "gone" has been deleted`)
	return f
}

// cut waits until the applications have lost their server, and drops what they received.
func (f *former) cut(t *testing.T) {
	t.Helper()
	for _, app := range []*application{f.one, f.two, f.idle} {
		await(t, app.disconnected, "a client that loses its server")
	}
	for _, r := range f.readers {
		r.upgraded.Store(true)
		for len(r.inbox) > 0 {
			<-r.inbox
		}
	}
}

func await(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("timeout waiting for %s", what)
	}
}

// goOn checks that applications find all their state on the new server. forgetful says that the old one was killed
// before it wrote the latest acknowledgements.
func (f *former) goOn(t *testing.T, s *server, forgetful bool) {
	t.Helper()
	for _, app := range []*application{f.one, f.two, f.idle} {
		await(t, app.reconnected, "a client that reconnects")
	}
	publish(t, f.one, "shop", []byte("seven"))
	publish(t, f.idle, "shop", []byte("eight"))
	for _, r := range f.readers {
		if r.offline {
			for _, app := range r.members {
				r.join(app)
			}
		}
	}
	for _, r := range f.readers {
		r.collect(t, forgetful)
	}
	for channel, want := range map[string][]uint64{"limited": {9, 10, 11}, "gone": {1}, "expired": {4}} {
		publish(t, f.two, channel, []byte("new"))
		_, in := subscribe(t, f.two, channel, stan.DeliverAllAvailable())
		if got := in.sequences(t, len(want)); !slices.Equal(got, want) {
			t.Errorf("channel %q: got %v, want %v", channel, got, want)
		}
	}
	if _, err := stan.Connect("test-cluster", "one", stan.NatsURL(s.URL()), stan.ConnectWait(patience)); err == nil || err.Error() != "stan: clientID already registered" {
		t.Errorf("connecting with the ID of a connected client: %v", err)
	}
	for _, r := range f.readers {
		for len(r.inbox) > 0 {
			if m := <-r.inbox; !forgetful || !m.Redelivered || !slices.Contains(r.acked, m.Sequence) {
				t.Errorf("%s: %d was redelivered twice", r.name, m.Sequence)
			}
		}
	}
}

// collect waits until the reader has received all unacknowledged messages, flagged as redelivered, and the new ones.
func (r *reader) collect(t *testing.T, forgetful bool) {
	t.Helper()
	want := map[uint64]bool{} // whether it was delivered before
	for seq := uint64(1); seq <= formerMessages+2; seq++ {
		if !slices.Contains(r.acked, seq) {
			want[seq] = seq <= formerMessages
		}
	}
	seen := map[uint64]bool{}
	for len(seen) < len(want) {
		m := r.next(t)
		before, ok := want[m.Sequence]
		switch {
		case !ok && forgetful && m.Redelivered:
		case !ok:
			t.Errorf("%s: %d was acknowledged but redelivered", r.name, m.Sequence)
		case m.Redelivered != before:
			t.Errorf("%s: %d has redelivered %v", r.name, m.Sequence, m.Redelivered)
		}
		if ok {
			seen[m.Sequence] = true
		}
	}
}

// A database written by NATS Streaming opens unchanged, and its clients continue.
func TestUpgradeInPlace(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"postgres", "mysql"} {
		for _, it := range []struct {
			name    string
			caching bool
			end     func(*server)
		}{{"cached", true, (*server).Stop}, {"uncached", false, (*server).Stop}, {"cached, killed", true, (*server).Kill}} {
			t.Run(driver+" "+it.name, func(t *testing.T) {
				t.Parallel()
				source := map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL}[driver](t)
				createFormerTables(t, driver, source)
				s := startUpstream(t, "-store", "SQL", "-sql_driver", driver, "-sql_source", source, fmt.Sprintf("-sql_no_caching=%v", !it.caching))
				f := populate(t, s)
				eventually(t, func() bool {
					return query(t, driver, source, "SELECT COUNT(*) FROM Messages m JOIN Channels c ON c.id = m.id WHERE c.name = 'expired'")[0] == "0"
				})
				it.end(s)
				f.cut(t)
				s.upgrade()
				f.goOn(t, s, it.name == "cached, killed")
				contiguous(t, driver, source, "shop", formerMessages+2)
			})
		}
	}
}

// Clients publish to the subjects that they received on connecting. Early releases of NATS Streaming chose random
// subjects, which later releases kept.
func TestStoredSubjects(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	s.Stop()
	info := &spb.ServerInfo{
		ClusterID: "test-cluster", Discovery: "_STAN.discover.test-cluster", Publish: "_STAN.pub.former", Subscribe: "_STAN.sub.former",
		Unsubscribe: "_STAN.unsub.former", Close: "_STAN.close.former", // there was no SubClose
	}
	data, err := info.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	query(t, "sqlite", source, fmt.Sprintf("UPDATE ServerInfo SET proto = x'%x'", data))
	s.Restart()
	nc := natsConn(t, s.URL())
	published, err := nc.SubscribeSync("_STAN.pub.former.c")
	if err != nil {
		t.Fatal(err)
	}
	sc := s.connect("client", stan.NatsConn(nc))
	sub, in := subscribe(t, sc, "c")
	publish(t, sc, "c", []byte("message"))
	if got := in.next(t).Sequence; got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	if _, err := published.NextMsg(patience); err != nil {
		t.Errorf("the stored subject is not used: %v", err)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}
