package httpport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve opens a port on the loopback address until the test ends.
func serve(t *testing.T, l Limits, handler http.HandlerFunc) (p *Port, refused *atomic.Int64) {
	t.Helper()
	refused = new(atomic.Int64)
	p, err := Listen(Options{Name: "The port", Host: "127.0.0.1", Port: -1, Limits: l, Refused: func() { refused.Add(1) }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(handler) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.Stop(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p, refused
}

func dial(t *testing.T, p *Port) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// ask sends a request and returns the first line of its answer.
func ask(t *testing.T, c net.Conn) (string, error) {
	t.Helper()
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Connections that send nothing give way to those that do.
func TestSilentConnectionsGiveWay(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]Limits{"of one peer": {Total: 100, PerPeer: 3}, "in all": {Total: 3, PerPeer: 100}} {
		p, refused := serve(t, limits, func(http.ResponseWriter, *http.Request) {})
		var silent []net.Conn
		for range 9 {
			c := dial(t, p)
			_, _ = fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Slow")
			silent = append(silent, c)
		}
		if got, err := ask(t, dial(t, p)); got != "HTTP/1.1 200 OK" {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if _, err := silent[0].Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the connection that waited longest is still open", name)
		}
		if refused.Load() != 7 {
			t.Errorf("%s: %d counted as refused, want 7 of 10", name, refused.Load())
		}
	}
}

// A connection with a running request stays; the next one is closed, until there is room again.
func TestRunningRequestsStay(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	p, _ := serve(t, Limits{Total: 1, PerPeer: 1}, func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})
	running := dial(t, p)
	answer := make(chan string, 1)
	go func() {
		line, _ := ask(t, running)
		answer <- line
	}()
	<-begun
	if _, err := dial(t, p).Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the limit is open")
	}
	p.SetLimits(Limits{Total: 2, PerPeer: 2})
	second := dial(t, p)
	if _, err := fmt.Fprint(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	close(end)
	if got := <-answer; got != "HTTP/1.1 200 OK" {
		t.Errorf("the running request: %q", got)
	}
}

func TestPeers(t *testing.T) {
	t.Parallel()
	p := NewPeers(Limits{Total: 3, PerPeer: 1})
	for _, it := range []struct {
		address string
		want    bool
	}{
		{"10.0.0.1:1", true}, {"10.0.0.1:2", false}, {"[::ffff:10.0.0.1]:3", false}, {"10.0.0.2:1", true},
		{"[2001:db8:0:1::1]:1", true}, {"[2001:db8:0:1:ffff::2]:1", false}, {"[2001:db8:0:2::1]:1", false},
	} {
		if got := p.Add(it.address); got != it.want {
			t.Errorf("%s: %v", it.address, got)
		}
	}
	p.Remove("10.0.0.1:2")
	if !p.Add("[2001:db8:0:2::1]:1") {
		t.Error("no room after a Remove")
	}
}

// The deadline of a body ends with the body, so that an answer may take longer.
func TestDeadlineOfBodyEnds(t *testing.T) {
	t.Parallel()
	var deadlines []time.Time
	w := &recorder{deadlines: &deadlines}
	Deadlines(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, "answer")
	}), nil).ServeHTTP(w, &http.Request{Body: io.NopCloser(strings.NewReader("body"))})
	if len(deadlines) != 3 || deadlines[0].IsZero() || !deadlines[1].IsZero() || deadlines[2].IsZero() {
		t.Errorf("deadlines %v, want one for the body, its end, and one for the answer", deadlines)
	}
}

// recorder notes deadlines.
type recorder struct {
	http.ResponseWriter
	deadlines *[]time.Time
}

func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

func (r *recorder) SetReadDeadline(t time.Time) error {
	*r.deadlines = append(*r.deadlines, t)
	return nil
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	*r.deadlines = append(*r.deadlines, t)
	return nil
}
