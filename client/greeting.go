package eventstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"time"
)

// dialer opens connections that check what answers at the other end.
func dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &greeted{Conn: conn}, nil
	}
}

// greeted is a connection whose first bytes show whether the server speaks HTTP/2, as the client does. Without TLS, HTTP/2
// fails on anything else with an error that says nothing of use, or hangs. With TLS, the handshake tells.
type greeted struct {
	net.Conn
	plain bool   // the client speaks HTTP/2 without TLS; owned by the writer until it reads
	first []byte // that the server sent
	done  bool
}

// maxGreeting is how much of the server's first words is kept for the error.
const maxGreeting = 16

// Write implements net.Conn.
func (c *greeted) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("PRI * HTTP/2.0")) {
		c.plain = true
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *greeted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case c.done:
		return n, err
	case n == 0 && err != nil && c.plain && len(c.first) == 0:
		return 0, &greetingError{err: err}
	}
	c.first = append(c.first, p[:min(n, maxGreeting-len(c.first))]...)
	// HTTP/2 begins with a frame of SETTINGS: a length of 3 bytes, the type 4.
	const typeOfFrame, settings = 3, 4
	if len(c.first) <= typeOfFrame {
		return n, err
	}
	c.done = true
	if c.plain && c.first[typeOfFrame] != settings {
		return 0, &greetingError{first: c.first}
	}
	return n, err
}

// greetingError means that a server without TLS speaks something else than HTTP/2, or says nothing before it closes the
// connection. The latter is what a server with TLS does, and one that is being stopped.
type greetingError struct {
	first []byte
	err   error
}

func (e *greetingError) Error() string {
	if e.err != nil {
		return "the server closed the connection before it said anything: " + e.err.Error()
	}
	return "the server does not speak HTTP/2"
}

func (e *greetingError) Unwrap() error { return e.err }

// probeTimeout bounds how long it may take to find out whether a server has TLS.
const probeTimeout = 5 * time.Second

// hasTLS reports whether the server at an address does a TLS handshake.
func hasTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
