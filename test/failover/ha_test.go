package failover

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// haHost is one of the two hosts of deploy/ha, on ports of its own.
type haHost struct {
	*harness.Server
	client, route, monitor, api int
}

// haHosts starts the two servers of deploy/ha on a database with TLS. Of their files, only addresses, paths and the hash of the
// token are changed. source is that of the database without TLS.
func haHosts(t *testing.T, ca *authority.Authority) (hosts [2]*haHost, source, token string) {
	t.Helper()
	database := databases.Own(t, databases.KindPostgres)
	identity := ca.Issue("database")
	if err := database.UseTLS(identity.Cert, identity.Key); err != nil {
		t.Fatal(err)
	}
	if err := database.CreateDatabase("eventstore"); err != nil {
		t.Fatal(err)
	}
	source = database.DSN("eventstore")
	token, line := newToken(t)
	for i := range hosts {
		h := &haHost{}
		for _, port := range []*int{&h.client, &h.route, &h.monitor, &h.api} {
			var err error
			if *port, err = databases.FreePort(); err != nil {
				t.Fatal(err)
			}
		}
		hosts[i] = h
	}
	for _, h := range hosts {
		etc, state, id := t.TempDir(), t.TempDir(), ca.Issue("events")
		files := map[string]string{
			"tls/server.crt": read(t, id.Cert), "tls/server.key": read(t, id.Key), "tls/ca.crt": read(t, ca.File),
			"secrets/sql-source": strings.Replace(source, "sslmode=disable", "sslmode=verify-full&sslrootcert="+filepath.Join(etc, "tls/ca.crt"), 1) + "\n",
			"access.conf":        replaced(t, read(t, "../../deploy/ha/access.conf"), `tokens: ["sha256:`+strings.Repeat("0", 64)+`"]`, line),
			"server.conf": replaced(t, read(t, "../../deploy/ha/server.conf"),
				"/etc/nats-streaming-server", etc, "/var/lib/nats-streaming-server", state,
				"0.0.0.0:4222", fmt.Sprint("127.0.0.1:", h.client), "0.0.0.0:6222", fmt.Sprint("127.0.0.1:", h.route), "0.0.0.0:8222", fmt.Sprint("127.0.0.1:", h.monitor),
				"events-1.example:6222", fmt.Sprint("127.0.0.1:", hosts[0].route), "events-2.example:6222", fmt.Sprint("127.0.0.1:", hosts[1].route),
				`host: "0.0.0.0"`, `host: "127.0.0.1"`, "port: 4280", fmt.Sprint("port: ", h.api)),
		}
		for name, text := range files {
			file := filepath.Join(etc, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conf := filepath.Join(etc, "server.conf")
		if out, err := exec.CommandContext(t.Context(), harness.Binary(), "-t", "-c", conf).CombinedOutput(); err != nil {
			t.Fatalf("-t: %v\n%s", err, out)
		}
		h.Server = harness.New(t, harness.Binary())
		h.Port, h.Args = h.client, []string{"-c", conf}
	}
	return hosts, source, token
}

// newToken runs the command that makes a token, and returns it and the line for the access file.
func newToken(t *testing.T) (token, line string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), harness.Binary(), "token").CombinedOutput()
	if err != nil {
		t.Fatalf("token: %v\n%s", err, out)
	}
	for text := range strings.Lines(string(out)) {
		if text = strings.TrimSpace(text); strings.HasPrefix(text, "tokens:") {
			line = text
		} else if text != "" {
			token = text
		}
	}
	return token, line
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replaced replaces each first text of a pair by the second, wherever it occurs, and it must.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Errorf("no %q to replace", pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// The configuration in deploy/ha works: clients with certificates publish, subscribe and append, the standby takes over from a leader
// that is killed, and everybody without a certificate, a right or a token is refused.
func TestHighAvailability(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	hosts, source, token := haHosts(t, ca)
	leader, standby := hosts[0], hosts[1]
	leader.Launch()
	leader.Ready()
	standby.Launch()
	standby.WaitLog(t, "Starting in standby mode")
	urls := fmt.Sprintf("tls://127.0.0.1:%d,tls://127.0.0.1:%d", standby.client, leader.client)

	if _, err := nats.Connect(urls, nats.RootCAs(ca.File)); err == nil {
		t.Error("a client without a certificate is connected")
	}
	stranger := ca.Issue("stranger")
	if _, err := nats.Connect(urls, nats.RootCAs(ca.File), nats.ClientCert(stranger.Cert, stranger.Key)); err == nil {
		t.Error("a client that no user is named after is connected")
	}
	shop, warehouse := ca.Issue("shop"), ca.Issue("warehouse")
	publisher := haConnect(t, urls, ca, shop, "shop")
	subscriber := haConnect(t, urls, ca, warehouse, "warehouse")

	received := make(chan *stan.Msg, 100)
	if _, err := subscriber.Subscribe("eventstore.shop.orders", func(m *stan.Msg) { received <- m }, stan.DurableName("warehouse"), stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Subscribe("eventstore.shop.orders", func(*stan.Msg) {}); err == nil {
		t.Error("the shop subscribes, without the right to")
	}
	haPublish(t, publisher, 1)
	haReceive(t, received, 1)
	haAppend(t, hosts, ca, shop, 2)
	haReceive(t, received, 2)
	if err := haAppendOnce(t, leader, ca, warehouse, 3); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("the warehouse appends, without the right to: %v", err)
	}
	if err := haAppendOnce(t, standby, ca, shop, 3); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("the standby answered %v", err)
	}

	leader.Kill()
	standby.Ready()
	haPublish(t, publisher, 3)
	haReceive(t, received, 3)
	haAppend(t, hosts, ca, shop, 4)
	haReceive(t, received, 4)

	leader.Launch()
	leader.WaitLog(t, "Starting in standby mode")
	for host, want := range map[*haHost]string{leader: "nats_streaming_active 0", standby: "nats_streaming_active 1"} {
		if status, _ := haGet(t, host, ca, "/metrics", ""); status != http.StatusUnauthorized {
			t.Errorf("metrics without a token: status %d", status)
		}
		if status, text := haGet(t, host, ca, "/metrics", token); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("metrics: status %d, no %q", status, want)
		}
		if status, _ := haGet(t, host, ca, "/readyz?standby=1", ""); status != http.StatusOK {
			t.Errorf("readyz: status %d", status)
		}
	}
	harness.Verify(t, "postgres", source)
}

func haConnect(t *testing.T, urls string, ca *authority.Authority, id authority.Identity, client string) stan.Conn {
	t.Helper()
	nc, err := nats.Connect(urls, nats.RootCAs(ca.File), nats.ClientCert(id.Cert, id.Key), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for deadline := time.Now().Add(harness.Patience); ; { // the servers may not know each other yet
		sc, err := stan.Connect("events", client, stan.NatsConn(nc), stan.PubAckWait(5*time.Second), stan.Pings(5, 100))
		if err == nil {
			return sc
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func haEvent(version uint64) *eventstorev1.Event {
	return &eventstorev1.Event{EventId: fmt.Sprint("order-1-", version), EventType: "OrderChanged", AggregateType: "Order", AggregateId: "order-1", EventVersion: version}
}

// haPublish publishes an event until it is acknowledged.
func haPublish(t *testing.T, sc stan.Conn, version uint64) {
	t.Helper()
	data, err := proto.Marshal(haEvent(version))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(harness.Patience)
	for err := sc.Publish("eventstore.shop.orders", data); err != nil; err = sc.Publish("eventstore.shop.orders", data) {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func haReceive(t *testing.T, received <-chan *stan.Msg, sequence uint64) {
	t.Helper()
	for timeout := time.After(harness.Patience); ; {
		select {
		case m := <-received:
			if m.Sequence == sequence {
				return
			}
			if m.Sequence > sequence { // earlier ones may come again after a crash
				t.Fatalf("received %d, want %d", m.Sequence, sequence)
			}
		case <-timeout:
			t.Fatalf("timeout waiting for message %d", sequence)
		}
	}
}

func haHTTP(t *testing.T, ca *authority.Authority, ids ...authority.Identity) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: ca.Pool()}
	for _, id := range ids {
		pair, err := tls.LoadX509KeyPair(id.Cert, id.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func haAppendOnce(t *testing.T, h *haHost, ca *authority.Authority, id authority.Identity, version uint64) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := eventstorev1connect.NewEventStoreClient(haHTTP(t, ca, id), fmt.Sprint("https://127.0.0.1:", h.api))
	_, err := client.Append(ctx, &eventstorev1.AppendRequest{Channel: "eventstore.shop.orders", Events: []*eventstorev1.Event{haEvent(version)}})
	return err
}

// haAppend asks both hosts in turn until one of them has the event.
func haAppend(t *testing.T, hosts [2]*haHost, ca *authority.Authority, id authority.Identity, version uint64) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for i := 0; ; i++ {
		err := haAppendOnce(t, hosts[i%2], ca, id, version)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func haGet(t *testing.T, h *haHost, ca *authority.Authority, path, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", h.monitor, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := haHTTP(t, ca).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
