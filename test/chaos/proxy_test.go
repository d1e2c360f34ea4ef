package chaos

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a server and its database, and fails as networks do.
type proxy struct {
	listener net.Listener
	target   string
	ended    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]struct{}
	mute  chan struct{} // not nil: answers wait until it is closed
	next  *interruption // nil: none
}

// interruption is the end of a connection on which something is sent.
type interruption struct {
	what    func(sent []byte) bool
	arrives part // of it at the database
	done    chan struct{}
}

type part int

const (
	nothing part = iota
	half
	whole
)

// startProxy returns a source that leads through a proxy to the database of another source.
func startProxy(t *testing.T, source string) (*proxy, string) {
	t.Helper()
	_, rest, _ := strings.Cut(source, "127.0.0.1:")
	port := rest[:strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: "127.0.0.1:" + port, conns: map[net.Conn]struct{}{}}
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.ended.Wait()
	})
	return p, strings.Replace(source, p.target, listener.Addr().String(), 1)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		database, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[database] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.ended.Go(func() { p.copy(database, client, false) })
		p.ended.Go(func() { p.copy(client, database, true) })
	}
}

// copy forwards until one side ends, and ends the other.
func (p *proxy) copy(to, from net.Conn, answers bool) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if answers {
			p.mu.Lock()
			mute := p.mute
			p.mu.Unlock()
			if mute != nil {
				<-mute
			}
		}
		if cut := p.interrupts(answers, buf[:n]); cut != nil {
			_ = from.Close() // whoever forwards the answer finds nobody
			switch cut.arrives {
			case half:
				_, _ = to.Write(buf[:n/2])
			case whole:
				_, _ = to.Write(buf[:n])
			}
			close(cut.done)
			break
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// stall holds back the answers of the database, which goes on working, until the next cut: what was committed in between is
// not known to the server.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = make(chan struct{})
}

// interrupts returns the interruption that what a server sent has met, which is then done with.
func (p *proxy) interrupts(answers bool, sent []byte) *interruption {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answers || p.next == nil || !p.next.what(sent) {
		return nil
	}
	cut := p.next
	p.next = nil
	return cut
}

// cutAt ends the next connection on which a server sends something, of which so much arrives. The channel is closed when
// that has happened.
func (p *proxy) cutAt(what func([]byte) bool, arrives part) <-chan struct{} {
	done := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = &interruption{what, arrives, done}
	return done
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	if p.mute != nil {
		close(p.mute)
		p.mute = nil
	}
}
