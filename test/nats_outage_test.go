package test

import (
	"syscall"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// plainNATS runs a NATS server on a port until stop or the end of the test.
func plainNATS(t *testing.T, port int) (url string, stop func()) {
	t.Helper()
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: port, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	return ns.ClientURL(), ns.Shutdown
}

// The active server dies while NATS is down. The standbys wait for NATS, and one of them serves when it returns.
func TestStandbysOutliveNATS(t *testing.T) {
	t.Parallel()
	const away = 8 * time.Second // longer than the lease of the dead server
	databases.Each(t, func(t *testing.T, driver, source string) {
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		url, stop := plainNATS(t, port)
		active := start(t, driver, source, "-ns", url)
		connect := func(id string) stan.Conn {
			sc, err := stan.Connect("test-cluster", id, stan.NatsURL(url), stan.ConnectWait(patience), stan.PubAckWait(patience),
				stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sc.NatsConn().Close() })
			return sc
		}
		publish(t, connect("before"), orders, event(t, "A", "T"))
		var standbys []*server
		ended := make(chan *server, 2)
		for range cap(ended) {
			s := launch(t, driver, source, "-ns", url)
			s.WaitLog(t, "Starting in standby mode")
			standbys = append(standbys, s)
			done := s.Process.Done()
			go func() { <-done; ended <- s }()
		}
		stop()
		active.Kill()
		select {
		case s := <-ended:
			t.Fatalf("a standby ended with status %d", s.Process.ExitCode())
		case <-time.After(away):
		}
		plainNATS(t, port)
		eventually(t, func() bool {
			for _, s := range standbys {
				if s.Log.Contains("Streaming Server is ready") {
					return true
				}
			}
			return false
		})
		publish(t, connect("after"), orders, event(t, "A", "T"))
		contiguous(t, driver, source, orders, 2)
		select {
		case s := <-ended:
			t.Errorf("a standby ended with status %d", s.Process.ExitCode())
		default:
		}
	})
}

// NATS hangs without closing a connection while a standby takes over. The standby waits, and serves once NATS resumes.
func TestStandbyOutlivesPausedNATS(t *testing.T) {
	t.Parallel()
	external := prepare(t, harness.Binary(), "-store", "MEMORY", "-cluster_id", "other")
	external.Launch()
	external.Ready()
	source := databases.SQLite(t)
	active := start(t, "sqlite", source, "-ns", external.URL())
	standby := launch(t, "sqlite", source, "-ns", external.URL())
	standby.WaitLog(t, "Starting in standby mode")
	external.Process.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { external.Process.Signal(syscall.SIGCONT) })
	active.Kill()
	standby.WaitLog(t, "NATS is away, standing by")
	external.Process.Signal(syscall.SIGCONT)
	standby.Ready()
}
