package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const (
	publishMemory = 64 << 20                           // the default of -publish_memory
	memoryBound   = heapFactor*publishMemory + 128<<20 // with what a server takes that has nothing to do
)

// doors are how a request comes to the API.
var doors = map[string]struct {
	http2       bool
	contentType string
	frame       func([]byte) []byte
}{
	"grpc": {true, "application/grpc", func(b []byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
	}},
	"http": {false, "application/proto", func(b []byte) []byte { return b }},
}

// What requests to the API take of memory is bounded, as what clients publish by NATS is, however many come and whatever they hold.
// With -long more come.
func TestMemoryOfAppends(t *testing.T) {
	many := 500
	if *long {
		many = 2000
	}
	large := &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{{
		EventType: "T", AggregateType: "order", AggregateId: "A", EventData: append(append([]byte{'"'}, bytes.Repeat([]byte{'x'}, 900_000)...), '"')}}}
	empty := &eventstorev1.AppendRequest{Channel: orders, Events: make([]*eventstorev1.Event, 2_000_000)} // of two bytes each
	for i := range empty.GetEvents() {
		empty.Events[i] = &eventstorev1.Event{}
	}
	for name, test := range map[string]struct {
		request  *eventstorev1.AppendRequest
		requests int
	}{
		"large": {large, many}, "empty": {empty, 10},
		// Each entry takes many times its encoded bytes in memory.
		"entries": {withMetadata(1000, 31, 0), 100},
		// As JSON, a control character takes six bytes.
		"metadata": {withMetadata(6, 10, 60_000), 50},
	} {
		body, err := proto.Marshal(test.request)
		if err != nil {
			t.Fatal(err)
		}
		for door, d := range doors {
			t.Run(name+"/"+door, func(t *testing.T) {
				source := databases.SQLite(t)
				s, url := measuredAPI(t, "sqlite", source, "-store_timeout", "2s")
				if _, err := dialAPI(t, url).Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders,
					Events: []*eventstorev1.Event{{EventType: "T", AggregateId: "first"}}}); err != nil {
					t.Fatal(err)
				}
				idle := s.memory()
				unlock := lock(t, "sqlite", source)
				codes := appendAll(t, d.http2, url, d.contentType, d.frame(body), test.requests)
				unlock()
				took := s.memory()
				t.Logf("%d Appends of %d bytes by %s: %d MiB of memory, %d MiB before; answers %v", test.requests, len(body), door, took>>20, idle>>20, codes)
				if took > memoryBound {
					t.Errorf("%d MiB of memory, want at most %d MiB", took>>20, memoryBound>>20)
				}
				if _, err := dialAPI(t, url).Append(t.Context(), &eventstorev1.AppendRequest{Channel: orders,
					Events: []*eventstorev1.Event{{EventType: "T", AggregateId: "last"}}}); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

// withMetadata returns a request whose events have metadata of control characters.
func withMetadata(events, entries, size int) *eventstorev1.AppendRequest {
	request := &eventstorev1.AppendRequest{Channel: orders}
	for i := range events {
		metadata := make(map[string]string, entries)
		for j := range entries {
			metadata[fmt.Sprint(j)] = strings.Repeat("\x01", size)
		}
		request.Events = append(request.Events, &eventstorev1.Event{EventType: "T", AggregateId: fmt.Sprint(i), Metadata: metadata})
	}
	return request
}

// appendAll sends requests at once, waits for their answers, and counts these by status. The requests share the memory of one.
func appendAll(t *testing.T, http2 bool, url, contentType string, body []byte, requests int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: transport(t, http2)}
	var mu sync.Mutex // guards codes
	codes := make(map[string]int)
	var sending sync.WaitGroup
	var unanswered atomic.Int64
	for range requests {
		sending.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+eventstorev1connect.EventStoreAppendProcedure, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", contentType)
			req.Header.Set("TE", "trailers")
			resp, err := client.Do(req)
			if err != nil { // such as a connection that was refused
				unanswered.Add(1)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body) // the trailer follows
			_ = resp.Body.Close()
			code := resp.Status
			if contentType == "application/grpc" {
				code = "grpc-status " + resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	sending.Wait()
	if n := unanswered.Load(); n > 0 {
		codes["none"] = int(n)
	}
	if ctx.Err() != nil {
		t.Errorf("not all are answered within %v", patience)
	}
	return codes
}
