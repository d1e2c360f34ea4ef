package prometheus

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

var drawing = flag.String("picture", "", "draw the dashboard to this file, after a longer load")

const orders = "eventstore.orders"

// While clients work, the leader is killed and comes back as the standby. Then each query of the dashboard has data, and no
// alert has a reason but the one about the event that was refused. Without servers, alerts have one.
func TestDashboardAndRules(t *testing.T) {
	t.Parallel()
	find(t, "prometheus")
	ca := authority.New(t)
	id := ca.IssueUntil("server", time.Now().AddDate(0, 3, 0))
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`streaming { routes: [{ stream: ORDERS, subject: "ORDERS.{event_type}" }, { channel: copies }], consumers { max_deliveries: 1000 } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	source := databases.SQLite(t)
	var servers []*harness.Server
	var ports []int
	for range 2 {
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
		servers = append(servers, harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", source, "-ft_group", "g", "-store_timeout", "1m",
			"-sc", file, "-js", "-sd", t.TempDir(), "-m", strconv.Itoa(port), "-grpc_port", "-1", "-grpc_cert", id.Cert, "-grpc_key", id.Key))
	}
	o := observe(t, ports...)
	servers[0].Launch()
	servers[0].Ready()
	servers[1].Launch()
	servers[1].WaitLog(t, "standby mode")
	o.await(`cluster:nats_streaming_servers:count{cluster_id="test-cluster"} == 2`)

	began, stop := time.Now(), func() {}
	if *drawing != "" {
		stop = traffic(t, servers[0].URL()+","+servers[1].URL())
		time.Sleep(20 * time.Second)
	}
	work(t, servers[0], ca, "first")
	servers[0].Kill()
	servers[1].Ready()
	o.await(`sum(nats_streaming_active) == 1 and sum(up) == 1`)
	servers[0].Launch()
	servers[0].WaitLog(t, "standby mode")
	o.await(`count(nats_streaming_active) == 2`)
	work(t, servers[1], ca, "second")
	if *drawing != "" {
		time.Sleep(20 * time.Second)
		if err := os.WriteFile(*drawing, draw(t, o, began, time.Now()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stop()

	for _, q := range queries(t) {
		o.await(q)
	}
	for _, a := range o.alerts() {
		found := o.query(a.Query)
		switch a.Name {
		case "StreamingCommitsAreSlow", "StreamingDatabaseUnavailable", "StreamingRedelivers": // as fast as this machine is
		case "StreamingRefusesEvents":
			if len(found) == 0 {
				t.Errorf("%s has no reason, but an event was refused", a.Name)
			}
		default:
			if len(found) > 0 {
				t.Errorf("%s: %v", a.Name, found)
			}
		}
	}
	for _, s := range servers {
		s.Stop()
	}
	for _, a := range o.alerts() {
		if a.Name == "StreamingHasNoLeader" || a.Name == "StreamingServerIsDown" {
			o.await(a.Query)
		}
	}
	harness.Verify(t, "sqlite", source)
}

// work gives each metric a value.
func work(t *testing.T, s *harness.Server, ca *authority.Authority, name string) {
	t.Helper()
	sc, err := stan.Connect("test-cluster", name, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sc.NatsConn().Close() }) // the server may have been killed
	redelivered := make(chan struct{}, 1)
	if _, err := sc.Subscribe(orders, func(m *stan.Msg) {
		if !m.Redelivered {
			return
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
		select {
		case redelivered <- struct{}{}:
		default:
		}
	}, stan.DurableName("late"), stan.SetManualAckMode(), stan.AckWait(time.Second), stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		payload, err := proto.Marshal(&eventstorev1.Event{EventId: fmt.Sprint(name, i), EventType: "Ordered", AggregateId: name})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one is already stored
			if err := sc.Publish(orders, payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := sc.Publish(orders, []byte("not an event")); err == nil {
		t.Fatal("what is not an event was stored")
	}
	api := regexp.MustCompile(`API listens on (\S+)`).FindStringSubmatch(s.Log.String())[1]
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer client.CloseIdleConnections()
	for method, request := range map[string]string{
		"Append": `{"channel": "eventstore.orders", "events": [{"eventType": "Ordered", "aggregateId": "api"}]}`, "Read": "not JSON",
	} {
		resp, err := client.Post(api+"/eventstore.v1.EventStore/"+method, "application/json", strings.NewReader(request))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	select {
	case <-redelivered:
	case <-time.After(harness.Patience):
		t.Fatal("nothing was redelivered")
	}
}

// queries returns the queries of the dashboard, with the variables as a reader has them.
func queries(t *testing.T) (all []string) {
	t.Helper()
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			all = append(all, strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$instance", ".+").Replace(target.Expr))
		}
	}
	if len(all) < 50 || strings.Contains(strings.Join(all, ""), "$") {
		t.Fatalf("these are not the dashboard's queries: %q", all)
	}
	return all
}
