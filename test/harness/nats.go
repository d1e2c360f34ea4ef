package harness

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// natsServer builds the nats-server of the module's version.
var natsServer = sync.OnceValues(func() (string, error) {
	file := filepath.Join(directory, "nats-server")
	if out, err := exec.Command("go", "build", "-o", file, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return file, nil
})

// NATS starts a nats-server with JetStream.
func NATS(t *testing.T, args ...string) *Server {
	t.Helper()
	file, err := natsServer()
	if err != nil {
		t.Fatal(err)
	}
	s := New(t, file, append([]string{"-js", "-sd", t.TempDir()}, args...)...)
	s.Launch()
	s.WaitLog(t, "Server is ready")
	return s
}
