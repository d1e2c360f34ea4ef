package natsconn

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// pausing is a server whose first connections see its PING before its PONG, as after a pause of the machine.
type pausing struct {
	*natsd.Server
	pauses int
}

func (p *pausing) InProcessConn() (net.Conn, error) {
	if p.pauses--; p.pauses < 0 {
		return p.Server.InProcessConn()
	}
	client, server := net.Pipe()
	go func() {
		_, _ = io.WriteString(server, "INFO {\"max_payload\":1048576}\r\n")
		in := bufio.NewReader(server)
		for range 2 { // CONNECT and PING
			_, _ = in.ReadString('\n')
		}
		_, _ = io.WriteString(server, "PING\r\n")
		_, _ = io.Copy(io.Discard, in)
	}()
	return client, nil
}

// The start survives pauses of the machine, though not a server that never answers.
func TestPauses(t *testing.T) {
	t.Parallel()
	ns, _ := server(t, &natsd.Options{})
	for pauses, want := range map[int]bool{inProcessRetries: true, inProcessRetries + 1: false} {
		o := Options{Embedded: &natsd.Options{}, Login: &Login{}, ClusterID: "C"}
		nc, err := connect(o, &pausing{ns, pauses}, general, slog.New(slog.DiscardHandler))
		if (err == nil) != want {
			t.Errorf("after %d pauses: error %v", pauses, err)
		}
		if err == nil {
			nc.Close()
		}
	}
}
