package test

import (
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// health waits until the endpoint answers with the status and a body that contains the text.
func (s *server) health(path string, status int, text string) {
	s.t.Helper()
	var body string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b, resp := s.get(path)
		if body = b; resp.StatusCode == status && strings.Contains(body, text) {
			return
		}
	}
	s.t.Errorf("%s: got %s, want status %d with %q", path, body, status, text)
}

// A standby is alive but not ready. It becomes ready when it takes over.
func TestHealthOfStandby(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		active := start(t, driver, source, "-m", "-1")
		active.health("/healthz", 200, `"state":"STANDALONE"`)
		active.health("/healthz?consumer=c", 400, "must not be empty") // NATS' own check
		active.health("/readyz", 200, `"status":"ok"`)
		standby := launch(t, driver, source, "-m", "-1")
		standby.health("/readyz", 503, `"state":"FT_STANDBY","error":"standing by: `)
		standby.health("/readyz?standby=1", 200, `"state":"FT_STANDBY"`)
		standby.health("/healthz", 200, `"status":"ok","state":"FT_STANDBY"`)
		active.Kill()
		standby.health("/readyz", 200, `"state":"FT_ACTIVE"`)
	})
}

// Without its NATS servers, a server is alive but not ready.
func TestHealthOfExternalNATS(t *testing.T) {
	t.Parallel()
	options := &natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true}
	ns := runNATS(t, options)
	s := start(t, "sqlite", databases.SQLite(t), "-ns", ns.ClientURL(), "-m", "-1")
	s.health("/healthz", 200, "ok")
	s.health("/readyz", 200, "ok")
	s.metrics().check(t, map[string]float64{"connected": 1})
	ns.Shutdown()
	ns.WaitForShutdown()
	s.health("/readyz", 503, "not connected to NATS")
	s.metrics().check(t, map[string]float64{"active": 1, "connected": 0})
	s.health("/healthz", 200, "ok")
	runNATS(t, options) // its port is now in the options
	s.health("/readyz", 200, "ok")
}

func runNATS(t *testing.T, o *natsd.Options) *natsd.Server {
	t.Helper()
	ns, err := natsd.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	return ns
}
