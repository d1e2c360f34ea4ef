package test

import (
	"net"
	"net/http"
	"strconv"
	"testing"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// measuredAPI is like measured, with the API enabled, and returns its URL.
func measuredAPI(t *testing.T, driver, source string, args ...string) (s *server, url string) {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s = measured(t, driver, source, append([]string{"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)}, args...)...)
	return s, "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// dialAPI returns a gRPC client.
func dialAPI(t *testing.T, url string) eventstorev1connect.EventStoreClient {
	t.Helper()
	return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: transport(t, true)}, url, connect.WithGRPC())
}

// transport speaks HTTP/2 or HTTP/1.1, without TLS.
func transport(t *testing.T, http2 bool) *http.Transport {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(http2)
	tr.Protocols.SetHTTP1(!http2)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}
