package wire

import (
	"bytes"
	"fmt"
	"net"

	"github.com/nats-io/nats.go"
)

// Claim is an option of connections: the client says more in its CONNECT than the library would, such as "nkey":"victim".
func Claim(fields string) nats.Option { return nats.SetCustomDialer(claimants{fields}) }

type claimants struct{ fields string }

// Dial implements nats.CustomDialer.
func (c claimants) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil || c.fields == "" {
		return conn, err
	}
	return claimant{conn, c.fields}, nil
}

type claimant struct {
	net.Conn
	fields string
}

// Write implements net.Conn.
func (c claimant) Write(b []byte) (int, error) {
	proto, found := bytes.CutSuffix(b, []byte("}\r\n"))
	if !found || !bytes.HasPrefix(b, []byte("CONNECT {")) {
		return c.Conn.Write(b)
	}
	// The last of two values of a key counts.
	if _, err := fmt.Fprintf(c.Conn, "%s,%s}\r\n", proto, c.fields); err != nil {
		return 0, err
	}
	return len(b), nil
}
