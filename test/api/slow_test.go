package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// stream is the stream that Read or Subscribe returns.
type stream interface {
	Receive() bool
	Err() error
	Close() error
}

// TestSlowReader: clients that stop reading cost the server only a bounded buffer and delay nobody. They can continue
// where they stopped, and leave nothing behind when they end.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const (
		requests  = 5
		perStream = 1792 << 10 // bytes of the server's heap: one read of the channel, one response, and its encoding
	)
	profiles, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	_, address := start(t, "sqlite", databases.SQLite(t), "-profile", strconv.Itoa(profiles))
	server := profiler("http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(profiles)) + "/debug/pprof/")
	var batch []*eventstorev1.Event
	size := 0
	for i := range 50 {
		e := event(fmt.Sprint("a", i), 0)
		e.EventData = []byte(`"` + strings.Repeat("x", 70<<10) + `"`)
		batch, size = append(batch, e), size+len(e.EventData)
	}

	uncompressed := connect.WithAcceptCompression("gzip", nil, nil) // compressed, everything would fit into buffers on the way
	grpc := http2(t, nil)
	grpc.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10}
	c := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: grpc}, url(address, nil), connect.WithGRPC(), uncompressed)
	web := http1(t, nil) // one connection per stream
	w := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: web}, url(address, nil), connect.WithGRPCWeb(), uncompressed)

	// Warm up: the server has now allocated everything that it keeps.
	stored := uint64(len(batch))
	add(t, c, orders, batch...)
	for _, c := range []client{c, w} {
		if got := contiguous(t, c); got != stored {
			t.Fatalf("%d events, want %d", got, stored)
		}
	}
	goroutines := 0
	eventually(t, func() string {
		web.CloseIdleConnections()
		var calls int
		if goroutines, calls = server.goroutines(t); calls > 0 {
			return fmt.Sprintf("%d calls are active, want none", calls)
		}
		return ""
	})
	heap := server.heap(t)

	ctx, cancel := context.WithTimeout(t.Context(), 4*harness.Patience)
	defer cancel()
	var slow []stream
	begin := func(s stream, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if slow = append(slow, s); !s.Receive() {
			t.Fatal(s.Err())
		}
	}
	var first *connect.ServerStreamForClient[eventstorev1.SubscribeResponse]
	for range requests { // each is live when it stops reading, each at a different position
		live, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: orders, Start: &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}})
		begin(live, err)
		if first == nil {
			first = live
		}
		add(t, c, orders, batch...)
		stored += uint64(len(batch))
	}
	for _, c := range []client{c, w} {
		read, err := c.Read(ctx, &eventstorev1.ReadRequest{Channel: orders})
		begin(read, err)
		subscription, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: orders})
		begin(subscription, err)
	}

	// Others receive everything, on the same connection and on one of their own. By then the server has also sent the
	// slow streams all that they accept.
	for i, c := range []client{c, w} {
		if got, want := contiguous(t, c), stored+uint64(i); got != want {
			t.Errorf("another client reads %d events, want %d", got, want)
		}
		add(t, c, orders, event("b", uint64(i+1)))
	}
	if _, calls := server.goroutines(t); calls != len(slow) {
		t.Errorf("the server serves %d calls, want %d: a stream that ended was not slow", calls, len(slow))
	}
	if grown := server.heap(t) - heap; grown > float64(len(slow)*perStream) {
		t.Errorf("%d slow streams of up to %d MiB use %.1f MiB of memory", len(slow), (requests+1)*size>>20, grown/(1<<20))
	}

	// A slow client that resumes receives the rest.
	next, last := uint64(len(batch)+1), stored+2
	for next <= last {
		if !first.Receive() {
			t.Fatal(first.Err())
		}
		for _, e := range first.Msg().GetEvents() {
			if e.GetSequence() != next {
				t.Fatalf("received event %d, want %d", e.GetSequence(), next)
			}
			next++
		}
	}

	cancel()
	for _, s := range slow {
		for s.Receive() {
			continue // what was in flight
		}
		wantCode(t, "cancelled stream", s.Err(), connect.CodeCanceled)
		_ = s.Close()
	}
	eventually(t, func() string {
		web.CloseIdleConnections()
		if now, calls := server.goroutines(t); calls > 0 || now > goroutines {
			return fmt.Sprintf("%d goroutines, %d of them serve cancelled calls; there were %d before", now, calls, goroutines)
		}
		return ""
	})
}

// contiguous reads a channel from its first event and returns the last sequence.
func contiguous(t *testing.T, c client) uint64 {
	t.Helper()
	next := uint64(1)
	stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: orders})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		for _, e := range stream.Msg().GetEvents() {
			if e.GetSequence() != next {
				t.Fatalf("event %d follows %d", e.GetSequence(), next-1)
			}
			next++
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return next - 1
}

// eventually polls until complaint returns "".
func eventually(t *testing.T, complaint func() string) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; {
		text := complaint()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(text)
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
}

// profiler is the URL of a server's profiles.
type profiler string

func (p profiler) get(t *testing.T, profile string) string {
	t.Helper()
	resp, err := http.Get(string(p) + profile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return string(text)
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// heap returns the bytes of the heap in use, after garbage collection.
func (p profiler) heap(t *testing.T) float64 {
	t.Helper()
	p.get(t, "heap?gc=1") // the first collection leaves the contents of pools
	found := heapAlloc.FindStringSubmatch(p.get(t, "heap?gc=1&debug=1"))
	if found == nil {
		t.Fatal("the heap profile lacks its size")
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// goroutines counts all goroutines, and those that serve calls of the API.
func (p profiler) goroutines(t *testing.T) (all, calls int) {
	t.Helper()
	stacks := strings.Split(p.get(t, "goroutine?debug=2"), "\n\n")
	for _, stack := range stacks {
		if strings.Contains(stack, "/server/api.(*service).") {
			calls++
		}
	}
	return len(stacks), calls
}
