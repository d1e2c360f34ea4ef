package clients

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a client and its NATS server. When it is silent, it reads nothing more on either side and closes
// nothing, as a network does that has lost its route: a connection that either side takes for a living one.
type proxy struct {
	listener net.Listener
	target   string
	ended    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	silent chan struct{} // closed at the end; nil: not silent
}

// startProxy returns a proxy and the URL that leads through it.
func startProxy(t *testing.T, url string) (*proxy, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: strings.TrimPrefix(url, "nats://")}
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.ended.Wait()
	})
	return p, "nats://" + listener.Addr().String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		_ = server.(*net.TCPConn).SetReadBuffer(1 << 15) // who is silent soon stops the server, too
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.ended.Go(func() { p.copy(server, client) })
		p.ended.Go(func() { p.copy(client, server) })
	}
}

func (p *proxy) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 1<<15)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent != nil {
			<-silent
			return
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// silence has the proxy forward nothing any more.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = make(chan struct{})
}

// cut ends all connections, as the kill of a client does; later ones work.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	if p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
}
