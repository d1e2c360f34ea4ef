package httpport

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// listener accepts connections within limits. Where there is no room for another one, it closes the connection that has
// waited longest for a request to begin or to arrive; if all serve requests, it closes the new one.
type listener struct {
	net.Listener
	peers   *Peers
	refused func(peer netip.Prefix, v verdict)

	mu      sync.Mutex // guards waiting, and each connection's place in it
	waiting list.List  // of *conn without a request, the longest wait first
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	listener *listener
	peer     netip.Prefix
	place    *list.Element // in waiting; nil while it serves a request
	closed   sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := PeerOf(accepted.RemoteAddr().String())
		v := l.peers.add(peer)
		for v != fits {
			l.refused(peer, v)
			if !l.evict(peer, v) {
				break
			}
			v = l.peers.add(peer)
		}
		if v != fits {
			_ = accepted.Close()
			continue
		}
		c := &conn{Conn: accepted, listener: l, peer: peer}
		l.wait(c)
		return c, nil
	}
}

// evict closes the connection that has waited longest, of the peer if that one has too many.
func (l *listener) evict(peer netip.Prefix, v verdict) bool {
	l.mu.Lock()
	var victim *conn
	for e := l.waiting.Front(); e != nil && victim == nil; e = e.Next() {
		if c := e.Value.(*conn); v == full || c.peer == peer {
			victim = c
		}
	}
	l.mu.Unlock()
	if victim == nil {
		return false
	}
	_ = victim.Close() // http.Server notices
	return true
}

// wait notes that a connection has no request.
func (l *listener) wait(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place == nil {
		c.place = l.waiting.PushBack(c)
	}
}

// serve notes that a connection has a request, or is closed.
func (l *listener) serve(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place != nil {
		l.waiting.Remove(c.place)
		c.place = nil
	}
}

// state follows http.Server's states of connections.
func (l *listener) state(nc net.Conn, s http.ConnState) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, ok := nc.(*conn)
	switch {
	case !ok:
	case s == http.StateIdle:
		l.wait(c)
	case s == http.StateActive:
		l.serve(c)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		c.listener.serve(c)
		c.listener.peers.remove(c.peer)
	})
	return err
}
