package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// healthcheck runs the command and checks its exit status and a text of its sentence.
func healthcheck(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	out, got := runBinary(t, append([]string{"healthcheck"}, args...)...)
	if got != status || !strings.Contains(out, text) || strings.Count(out, "\n") != 1 {
		t.Errorf("healthcheck %s: status %d, %s; want %d and one line with %q", args, got, out, status, text)
	}
}

// The options of the server are all that healthcheck needs: those of the command line, or the configuration file.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	source, port := databases.SQLite(t), strconv.Itoa(freePort(t))
	healthcheck(t, 1, "connection refused: start the server", "-m", port)
	active := start(t, "sqlite", source, "-m", port)
	healthcheck(t, 0, "/healthz: ok STANDALONE", "-m", port)
	healthcheck(t, 0, "/readyz: ok STANDALONE", "-path", "/readyz", "-m", port)
	healthcheck(t, 1, "/nonsense: 404 Not Found", "-path", "/nonsense", "-m", port)

	// Without a monitoring port, the NATS port answers.
	healthcheck(t, 0, fmt.Sprintf("%d answers; start the server with -m", active.Port), "-p", strconv.Itoa(active.Port))
	healthcheck(t, 1, "does not speak HTTP: name the monitoring port", "-m", strconv.Itoa(active.Port))
	web := httptest.NewServer(http.NotFoundHandler()) // says nothing before it is asked
	defer web.Close()
	healthcheck(t, 1, "timeout: give the server's options", "-p", web.URL[strings.LastIndex(web.URL, ":")+1:])

	file := filepath.Join(t.TempDir(), "server.conf")
	second := strconv.Itoa(freePort(t))
	if err := os.WriteFile(file, []byte("http: 127.0.0.1:"+second+"\nstreaming { store: SQL\n sql { driver: sqlite\n source: "+strconv.Quote(source)+" } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	standby := launch(t, "sqlite", source, "-c", file)
	standby.health("/readyz?standby=1", 200, "ok")
	healthcheck(t, 0, "ok FT_STANDBY", "-c", file)
	healthcheck(t, 1, "standing by: another server", "-path", "/readyz", "-c", file)
	healthcheck(t, 0, "ok FT_STANDBY", "-path", "/readyz?standby=1", "-sc", file)
	standby.Stop()
	healthcheck(t, 1, "connection refused", "-c", file)

	// A server that hangs is unhealthy.
	active.Process.Signal(syscall.SIGSTOP)
	healthcheck(t, 1, "deadline exceeded", "-m", port)
	active.Process.Signal(syscall.SIGCONT)
	healthcheck(t, 0, "ok", "-m", port)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The certificate of the monitoring port may name any host.
func TestHealthcheckTLS(t *testing.T) {
	t.Parallel()
	id := authority.New(t).Issue("events.example.com")
	port := strconv.Itoa(freePort(t))
	args := []string{"-ms", port, "--tls", "--tlscert", id.Cert, "--tlskey", id.Key}
	s := launch(t, "sqlite", databases.SQLite(t), args...)
	s.Ready()
	healthcheck(t, 0, "https://", args...)
}
