package test

import (
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const patience = harness.Patience

// server is a running server.
type server struct {
	*harness.Server
	t      testing.TB
	driver string
	source string
}

// start starts the binary on a database, waits until it is ready, and stops it when the test ends.
func start(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	s := launch(t, driver, source, args...)
	s.Ready()
	return s
}

// launch starts the binary without waiting.
func launch(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	s := prepare(t, harness.BinaryOn(t, driver), append([]string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	s.driver, s.source = driver, source
	s.Launch()
	return s
}

// prepare returns a server that is not started yet.
func prepare(t testing.TB, binary string, args ...string) *server {
	t.Helper()
	return &server{Server: harness.New(t, binary, args...), t: t}
}

// connect connects a client and closes it when the test ends.
func (s *server) connect(id string, opts ...stan.Option) stan.Conn {
	s.t.Helper()
	opts = append([]stan.Option{stan.NatsURL(s.URL()), stan.ConnectWait(patience), stan.PubAckWait(patience)}, opts...)
	sc, err := stan.Connect("test-cluster", id, opts...)
	if err != nil {
		s.t.Fatalf("connect %s: %v", id, err)
	}
	s.t.Cleanup(func() { _ = sc.Close() })
	return sc
}
