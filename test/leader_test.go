package test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// A server that loses its lease becomes a standby, and serves again when it regains the lease.
func TestLostLease(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		publish(t, sc, orders, event(t, "A", "T"))
		query(t, driver, source, "UPDATE StoreLock SET id = 'another', tick = 1")
		s.WaitLog(t, "stepping down")
		s.WaitLog(t, "Starting in standby mode")
		query(t, driver, source, "UPDATE StoreLock SET id = '', tick = 2")
		eventually(t, func() bool { return strings.Count(s.Log.String(), "Streaming Server is ready") == 2 })
		publish(t, sc, orders, event(t, "A", "T"))
		contiguous(t, driver, source, orders, 2)
	})
}

// A server whose database is rolled back acknowledges nothing on top of lost messages. It reloads the state and
// continues.
func TestRewoundDatabase(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		fill(t, sc, "foo", 3)
		query(t, driver, source, "DELETE FROM Messages WHERE seq > 1")
		query(t, driver, source, "UPDATE Channels SET maxseq = 1, msgs = 1, bytes = bytes / 3")
		acked := make(chan error, 1)
		if _, err := sc.PublishAsync("foo", []byte("lost"), func(_ string, err error) { acked <- err }); err != nil {
			t.Fatal(err)
		}
		s.WaitLog(t, "The database was set back")
		eventually(t, func() bool { return strings.Count(s.Log.String(), "Streaming Server is ready") == 2 })
		select {
		case err := <-acked:
			if err == nil {
				t.Error("the publish was acknowledged")
			}
		default:
		}
		fill(t, sc, "foo", 1)
		contiguous(t, driver, source, "foo", 2)
	})
}

// A server that was paused beyond its lease neither stores nor answers the requests that it received meanwhile.
func TestPausedServer(t *testing.T) {
	t.Parallel()
	for driver, source := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := source(t)
			first := start(t, driver, source)
			publish(t, first.connect("client"), orders, event(t, "A", "T", withID("before")))
			second := launch(t, driver, source)
			second.WaitLog(t, "Starting in standby mode")
			conn := wire.Dial(t, first.URL())
			answers, err := conn.SubscribeSync(nats.NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := first.Process.Pause(); err != nil {
				t.Fatal(err)
			}
			for _, version := range []uint64{2, 7} { // the next version, and one that would be refused
				data := event(t, "A", "T", withVersion(version))
				request := &pb.PubMsg{ClientID: "client", Guid: nuid.Next(), Subject: orders, Data: data}
				if err := conn.PublishRequest(wire.Publish+"."+orders, answers.Subject, wire.Encode(t, request)); err != nil {
					t.Fatal(err)
				}
			}
			second.Ready()
			publish(t, second.connect("other"), orders, event(t, "A", "T", withID("after")))
			if err := first.Process.Resume(); err != nil {
				t.Fatal(err)
			}
			first.WaitLog(t, "stepping down")
			first.Stop() // it has then handled all requests
			if m, err := answers.NextMsg(100 * time.Millisecond); err == nil && len(m.Data) > 0 {
				t.Errorf("the paused server answered %q", m.Data)
			}
			contiguous(t, driver, source, orders, 2)
			if ids := query(t, driver, source, "SELECT event_id FROM events ORDER BY event_version"); !slices.Equal(ids, []string{"before", "after"}) {
				t.Errorf("stored events %q", ids)
			}
			second.Stop()
			harness.Verify(t, driver, source)
		})
	}
}

// A server restarted after a kill takes the lease at once, without standing by.
func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		publish(t, s.connect("client"), orders, event(t, "A", "T"))
		s.Kill()
		s.Launch()
		s.Ready()
		if runtime.GOOS == "linux" && strings.Contains(s.Log.String(), "standby") {
			t.Errorf("the restarted server became a standby:\n%s", s.Log.String())
		}
		publish(t, s.connect("another"), orders, event(t, "A", "T"))
		contiguous(t, driver, source, orders, 2)
	})
}

// Publishers that do not retry tolerate a rolling restart of two servers, in one NATS cluster of embedded servers and on
// one external NATS server.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		t.Run("cluster", func(t *testing.T) {
			var ports []int
			for range 2 {
				port, err := databases.FreePort()
				if err != nil {
					t.Fatal(err)
				}
				ports = append(ports, port)
			}
			var servers []*server
			for i, port := range ports {
				servers = append(servers, launch(t, driver, source, "-cluster", fmt.Sprint("nats://127.0.0.1:", port), "-routes", fmt.Sprint("nats://127.0.0.1:", ports[1-i])))
			}
			roll(t, driver, source, servers, servers[0].URL()+","+servers[1].URL(), "cluster")
		})
		t.Run("external", func(t *testing.T) {
			ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
			if err != nil {
				t.Fatal(err)
			}
			ns.Start()
			defer ns.Shutdown()
			if !ns.ReadyForConnections(patience) {
				t.Fatal("the NATS server did not start")
			}
			servers := []*server{launch(t, driver, source, "-ns", ns.ClientURL()), launch(t, driver, source, "-ns", ns.ClientURL())}
			roll(t, driver, source, servers, ns.ClientURL(), "external")
			for _, s := range servers {
				s.Stop()
			}
		})
	})
}

func roll(t *testing.T, driver, source string, servers []*server, urls, id string) {
	t.Helper()
	leads := func(s *server) bool { return s.Log.Contains("Streaming Server is ready") }
	eventually(t, func() bool { return leads(servers[0]) || leads(servers[1]) })
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var sc stan.Conn
	eventually(t, func() bool { // the route between the servers may not exist yet
		sc, err = stan.Connect("test-cluster", id, stan.NatsConn(nc), stan.ConnectWait(2*time.Second), stan.PubAckWait(time.Second), stan.Pings(1, 1000))
		return err == nil
	})
	_, in := subscribe(t, sc, "eventstore."+id, stan.DeliverAllAvailable(), stan.AckWait(time.Second), stan.MaxInflight(1)) // in strict order
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	published := 0
	progress := make(chan struct{}, 1)
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			e := event(t, "A", "T", withID(id+strconv.Itoa(published)), withVersion(uint64(published+1)))
			deadline := time.Now().Add(patience)
			for err := sc.Publish("eventstore."+id, e); err != nil; err = sc.Publish("eventstore."+id, e) {
				if time.Now().After(deadline) || !strings.Contains(err.Error(), "timeout") && !strings.Contains(err.Error(), "unavailable") {
					t.Errorf("event %d: %v", published, err)
					return
				}
			}
			published++
			select {
			case progress <- struct{}{}:
			default:
			}
		}
	})
	more := func() {
		t.Helper()
		for range 3 {
			await(t, progress, "publishes that are acknowledged")
		}
	}
	more()
	for range servers {
		for _, s := range servers {
			s.Stop()
			s.Launch()
			more()
		}
	}
	close(stop)
	publishing.Wait()
	for want := uint64(1); want <= uint64(published); {
		m := in.next(t)
		if m.Sequence > want {
			t.Fatalf("received %d, want %d", m.Sequence, want)
		}
		if m.Sequence == want {
			want++
		}
	}
	contiguous(t, driver, source, "eventstore."+id, published)
}

// Old and new servers share the lease of NATS Streaming's fault tolerance mode. Of an old and a new server on one
// database, the first one serves and the other takes over when it is killed. On MySQL, an old server does not start on
// the new schema.
func TestLeaseOfFormerServers(t *testing.T) {
	t.Parallel()
	for driver, source := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := source(t)
			createFormerTables(t, driver, source)
			binary, err := upstream.Build(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-ft_group", "ft"}
			former := prepare(t, binary, append(args, "-cluster", "nats://127.0.0.1:-1")...)
			former.Launch()
			former.WaitLog(t, "Server is active")
			s := prepare(t, harness.Binary(), args...)
			s.Launch()
			s.WaitLog(t, "Starting in standby mode")
			renewed(t, driver, source)
			if s.Log.Contains("Server is active") {
				t.Fatal("both servers serve")
			}
			former.Kill()
			s.Ready()
			publish(t, s.connect("client"), orders, event(t, "A", "T"))

			former.Launch()
			if driver == "mysql" {
				// Its statements do not name columns, and there are more columns now.
				former.WaitLog(t, "Column count doesn't match")
				return
			}
			former.WaitLog(t, "Starting in standby mode")
			renewed(t, driver, source)
			if former.Log.Contains("Server is active") {
				t.Fatal("both servers serve")
			}
			publish(t, s.connect("client-2"), orders, event(t, "A", "T"))
			s.Kill()
			former.WaitLog(t, "Server is active")
			s.Launch()
			s.WaitLog(t, "Starting in standby mode")
			contiguous(t, driver, source, orders, 2)
		})
	}
}

// renewed waits until the lease has been renewed often enough that a standby would have taken it if it did not see the
// renewals.
func renewed(t *testing.T, driver, source string) {
	t.Helper()
	const tick = "SELECT tick FROM StoreLock"
	first, err := strconv.Atoi(query(t, driver, source, tick)[0])
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		now, err := strconv.Atoi(query(t, driver, source, tick)[0])
		return err == nil && now >= first+6
	})
}
