package network

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers each line with the same line and records it.
type echo struct {
	listener net.Listener
	ended    sync.WaitGroup

	mu  sync.Mutex // guards got
	got bytes.Buffer
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: listener}
	e.ended.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.ended.Go(func() { e.answer(conn) })
		}
	})
	return e
}

func (e *echo) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		e.mu.Lock()
		e.got.WriteString(line)
		e.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

// stop waits for the end of all connections and returns what they received.
func (e *echo) stop() string {
	_ = e.listener.Close()
	e.ended.Wait()
	return e.got.String()
}

func dial(t *testing.T, source string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(source, "echo://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next answer, or the error if none comes.
func hear(conn net.Conn, patience time.Duration) (string, error) {
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

const patience = 30 * time.Second

// ended reports whether the other side closed or reset the connection.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

// TestCutAt: the connection that sends the matching text ends. The server receives the given part of it, the client gets
// no answer, and other connections are unaffected.
func TestCutAt(t *testing.T) {
	t.Parallel()
	for arrives, want := range map[Part]string{Nothing: "", Half: "COM", All: "COMMIT\n"} {
		e := startEcho(t)
		p, through := Start(t, "echo://"+e.listener.Addr().String())
		one, other := dial(t, through), dial(t, through)
		for _, conn := range []net.Conn{one, other} {
			say(t, conn, "hello")
			if line, err := hear(conn, patience); line != "hello" {
				t.Fatalf("heard %q: %v", line, err)
			}
		}
		sprung := p.CutAt(func(_ *Connection, sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT")) }, arrives)
		say(t, one, "COMMIT")
		<-sprung
		if line, err := hear(one, patience); line != "" || !ended(err) {
			t.Errorf("heard %q after the cut: %v", line, err)
		}
		say(t, other, "COMMIT") // only one connection is cut
		if line, err := hear(other, patience); line != "COMMIT" {
			t.Errorf("heard %q on the other connection: %v", line, err)
		}
		p.Refuse()
		got := e.stop()
		if rest := strings.Replace(strings.Replace(got, "hello\nhello\n", "", 1), "COMMIT\n", "", 1); arrives != Half && rest != want || arrives == Half && !strings.Contains(got, want) {
			t.Errorf("%d: the server received %q, want it to contain %q", arrives, got, want)
		}
	}
}

// TestLoseAt: after the match, every connection ends with what it sends next, until the network is restored.
func TestLoseAt(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	p, through := Start(t, "echo://"+e.listener.Addr().String())
	one, other := dial(t, through), dial(t, through)
	sprung := p.LoseAt(func(_ *Connection, sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT")) }, All)
	say(t, one, "COMMIT")
	<-sprung
	for _, conn := range []net.Conn{one, other, dial(t, through)} {
		_, _ = io.WriteString(conn, "lost\n") // the connection may have ended
		if line, err := hear(conn, patience); line != "" || !ended(err) {
			t.Errorf("heard %q from a lost network: %v", line, err)
		}
	}
	p.Cut()
	next := dial(t, through)
	say(t, next, "next")
	if line, err := hear(next, patience); line != "next" {
		t.Errorf("heard %q from the restored network: %v", line, err)
	}
	p.Refuse()
	if got := e.stop(); got != "COMMIT\nnext\n" && got != "next\nCOMMIT\n" { // each connection has its own goroutine
		t.Errorf("the server got %q", got)
	}
}

// TestStall: sent data arrives but no answer returns; the next connection works.
func TestStall(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	p, through := Start(t, "echo://"+e.listener.Addr().String())
	conn := dial(t, through)
	say(t, conn, "hello")
	if line, err := hear(conn, patience); line != "hello" {
		t.Fatalf("heard %q: %v", line, err)
	}
	p.Stall()
	say(t, conn, "lost")
	if line, err := hear(conn, 100*time.Millisecond); line != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %q from a stalled network: %v", line, err)
	}
	p.Cut()
	if line, err := hear(conn, patience); line != "" || !ended(err) {
		t.Errorf("heard %q after the cut: %v", line, err)
	}
	next := dial(t, through)
	say(t, next, "next")
	if line, err := hear(next, patience); line != "next" {
		t.Errorf("heard %q on a new connection: %v", line, err)
	}
	p.Refuse()
	if got := e.stop(); got != "hello\nlost\nnext\n" {
		t.Errorf("the server got %q", got)
	}
}

// TestSilence: nothing arrives on either side and no connection ends, even if more is sent than sockets buffer.
func TestSilence(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	p, through := Start(t, "echo://"+e.listener.Addr().String())
	conn := dial(t, through)
	say(t, conn, "hello")
	if line, err := hear(conn, patience); line != "hello" {
		t.Fatalf("heard %q: %v", line, err)
	}
	p.Silence()
	_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := conn.Write(make([]byte, 32<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent network accepted %d bytes: %v", n, err)
	}
	if line, err := hear(conn, 100*time.Millisecond); line != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %q from a silent network: %v", line, err)
	}
	p.Refuse()
	if got := e.stop(); got != "hello\n" {
		t.Errorf("the server got %d bytes", len(got))
	}
}

// TestRefuse: connections end with a reset, and new ones are refused.
func TestRefuse(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	p, through := Start(t, "echo://"+e.listener.Addr().String())
	conn := dial(t, through)
	say(t, conn, "hello")
	if line, err := hear(conn, patience); line != "hello" {
		t.Fatalf("heard %q: %v", line, err)
	}
	p.Refuse()
	if _, err := hear(conn, patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(through, "echo://")); err == nil {
		_ = conn.Close()
		t.Error("the proxy accepted a connection")
	}
	e.stop()
}
