//go:build linux

package install

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// systemd learns when a server has started: it serves clients, or stands by.
func TestNotify(t *testing.T) {
	if err := packages(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	data := t.TempDir()
	for range 2 { // the second stands by
		s := harness.New(t, binary(), "-dir", data)
		s.Launch()
		if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 100)
		n, err := conn.Read(message)
		if err != nil || string(message[:n]) != "READY=1" {
			t.Fatalf("got %q, %v\n%s", message[:n], err, s.Log)
		}
	}
}
