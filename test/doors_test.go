package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Clients that send slowly, in the header or in the body, keep neither descriptors nor memory from others, on both ports.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const most = 20
	s, url := measuredAPI(t, "sqlite", databases.SQLite(t), "-m", "-1", "-grpc_max_connections_per_peer", fmt.Sprint(most))
	api := strings.TrimPrefix(url, "http://")
	if _, err := appendOne(t, dialAPI(t, url)); err != nil { // creates the channel
		t.Fatal(err)
	}
	post := "POST " + eventstorev1connect.EventStoreAppendProcedure + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n"
	for name, sent := range map[string]string{
		"nothing":          "",
		"part of a header": post + "X-Slow: ",
		"HTTP/2":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		for range 3 * most {
			conn := dialFrom(t, "127.0.0.1", api)
			_, _ = io.WriteString(conn, sent) // it may be closed already
		}
		if _, err := appendOne(t, dialAPI(t, url)); err != nil {
			t.Errorf("beside clients that send %s: %v", name, err)
		}
	}
	for range most {
		_, _ = io.WriteString(dialFrom(t, "127.0.0.1", api), post+"Content-Length: 4000000\r\n\r\nx")
	}
	// The peer that has them has no more connections, and another one is served.
	other := &http.Transport{Protocols: new(http.Protocols), DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		return dialFrom(t, "127.0.0.2", address), nil
	}}
	other.Protocols.SetHTTP1(true)
	if _, err := appendOne(t, eventstorev1connect.NewEventStoreClient(&http.Client{Transport: other}, url)); err != nil {
		t.Errorf("beside clients that send slow bodies: %v", err)
	}
	if got := s.metrics()[`nats_streaming_refused_connections_total{port="api"}`]; got == 0 {
		t.Error("no connection counts as refused")
	}
	s.WaitLog(t, "The API refuses connections")

	monitor := monitorLine.FindStringSubmatch(s.Log.String())[1]
	for range 1000 {
		_, _ = io.WriteString(dialFrom(t, "127.0.0.1", monitor), "GET /")
	}
	if _, resp := s.get("/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("monitoring: %s", resp.Status)
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// appendOne appends an event.
func appendOne(t *testing.T, c eventstorev1connect.EventStoreClient) (*eventstorev1.AppendResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.Append(ctx, &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{{EventType: "T", AggregateId: "A"}}})
}

// A little gzip that becomes a lot takes no memory, whichever method or protocol it comes by, with a token or without.
func TestGzipBombs(t *testing.T) {
	t.Parallel()
	const most = 200 << 20 // bytes of memory
	s, url := measuredAPI(t, "sqlite", databases.SQLite(t))
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 512 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	framed := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(bomb.Len())), bomb.Bytes()...)
	idle := s.memory()
	client := &http.Client{Transport: transport(t, true)}
	var sending sync.WaitGroup
	for _, path := range []string{
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		eventstorev1connect.EventStoreAppendProcedure, eventstorev1connect.EventStoreGetEventProcedure, eventstorev1connect.EventStoreListChannelsProcedure,
		eventstorev1connect.EventStoreReadProcedure, eventstorev1connect.EventStoreReadAggregateProcedure, eventstorev1connect.EventStoreSubscribeProcedure, eventstorev1connect.EventStoreConsumeProcedure,
		"/eventstore.EventStore/CreateEvent", "/eventstore.EventStore/GetEvents", "/eventstore.EventStore/GetEventsStream",
		"/pb.EventStore/CreateEvent", "/pb.EventStore/GetEvents", "/nowhere",
	} {
		for contentType, body := range map[string][]byte{
			"application/grpc": framed, "application/grpc-web": framed, "application/connect+proto": framed, "application/connect+json": framed,
			"application/proto": bomb.Bytes(), "application/json": bomb.Bytes(),
		} {
			sending.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", contentType)
				for _, name := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
					req.Header.Set(name, "gzip")
				}
				resp, err := client.Do(req)
				if err != nil {
					return // refused before all of it was sent
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				endOfStream := len(text) > 0 && text[0]&2 != 0 // of Connect, without a message before it
				refused := resp.StatusCode >= 400 || endOfStream || bytes.Contains(text, []byte("grpc-status: ")) ||
					resp.Header.Get("Grpc-Status")+resp.Trailer.Get("Grpc-Status") != ""
				if !refused {
					t.Errorf("%s as %s: %s %.100q", path, contentType, resp.Status, text)
				}
			})
		}
	}
	sending.Wait()
	took := s.memory()
	t.Logf("%d MiB of memory, %d MiB before", took>>20, idle>>20)
	if took-idle > most {
		t.Errorf("%d MiB more memory, want at most %d MiB", (took-idle)>>20, most>>20)
	}
	if _, err := appendOne(t, dialAPI(t, url)); err != nil {
		t.Errorf("afterwards: %v, code %v", err, connect.CodeOf(err))
	}
}
