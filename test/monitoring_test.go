package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var monitorLine = regexp.MustCompile(`Starting http monitor on (\S+)`)

// get requests a path from the monitoring port. The server may not serve clients yet.
func (s *server) get(path string) (string, *http.Response) {
	s.t.Helper()
	s.WaitLog(s.t, "Starting http monitor on ")
	client := &http.Client{Timeout: patience}
	resp, err := client.Get("http://" + monitorLine.FindStringSubmatch(s.Log.String())[1] + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body), resp
}

// document is a JSON object.
type document map[string]any

// json returns the JSON object at a path.
func (s *server) json(path string) document {
	s.t.Helper()
	body, resp := s.get(path)
	var d document
	if err := json.Unmarshal([]byte(body), &d); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v %s", path, resp.Status, err, body)
	}
	return d
}

// list returns the objects in a field of d.
func (d document) list(field string) []document {
	var list []document
	for _, v := range d[field].([]any) {
		list = append(list, v.(map[string]any))
	}
	return list
}

// only formats some fields of d for comparison.
func (d document) only(fields ...string) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s=%v ", f, d[f])
	}
	return strings.TrimSpace(b.String())
}

// subscribers creates every kind of subscription to a channel with three messages. None acknowledges.
func subscribers(t *testing.T, s *server, channel string) {
	t.Helper()
	here, away := s.connect("here"), s.connect("away")
	fill(t, here, channel, 3)
	first, manual := stan.DeliverAllAvailable(), stan.SetManualAckMode()
	for _, opts := range [][]stan.SubscriptionOption{
		{first, manual, stan.MaxInflight(2), stan.AckWait(patience)},
		{first, manual, stan.DurableName("here"), stan.AckWait(patience)},
	} {
		_, in := subscribe(t, here, channel, opts...)
		in.sequences(t, 2)
	}
	_, in := subscribe(t, away, channel, first, manual, stan.DurableName("away"), stan.AckWait(patience))
	in.sequences(t, 3)
	for _, q := range []struct {
		sc   stan.Conn
		opts []stan.SubscriptionOption
		name string
	}{{here, nil, "plain"}, {here, []stan.SubscriptionOption{stan.DurableName("here")}, "group"}, {away, []stan.SubscriptionOption{stan.DurableName("away")}, "group"}} {
		in := newInbox()
		opts := append([]stan.SubscriptionOption{first, manual, stan.AckWait(patience)}, q.opts...)
		if _, err := q.sc.QueueSubscribe(channel, q.name, func(m *stan.Msg) { in <- m }, opts...); err != nil {
			t.Fatal(err)
		}
		in.sequences(t, 3)
	}
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMonitoring(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := config(t, `limits { max_channels: 100, max_age: "1h", channels { "limited.>": { max_msgs: 5 }, "limited.one": { max_age: "2h" } } }`)
		s := start(t, driver, source, "-c", file, "-m", "-1")
		subscribers(t, s, "foo")
		publish(t, s.connect("publisher"), orders, event(t, "A", "T"))

		server := s.json("/streaming/serverz")
		if got, want := server.only("cluster_id", "state", "clients", "subscriptions", "channels", "total_msgs", "in_msgs", "out_msgs"),
			"cluster_id=test-cluster state=STANDALONE clients=2 subscriptions=6 channels=2 total_msgs=4 in_msgs=4 out_msgs=17"; got != want {
			t.Errorf("serverz:\n %s, want\n %s", got, want)
		}
		id := server["server_id"]
		if s.WaitLog(s.t, fmt.Sprintf("ServerID: %v", id)); server["in_bytes"].(float64) < server["total_bytes"].(float64)/2 || server["out_bytes"].(float64) < 17*20 {
			t.Errorf("serverz: %v", server)
		}
		if body, _ := s.get("/streaming/serverz"); !strings.HasPrefix(body, "{\n  \"cluster_id\": \"test-cluster\",\n") {
			t.Errorf("not indented by two spaces: %s", body)
		}

		store := s.json("/streaming/storez")
		if got, want := store.only("cluster_id", "server_id", "type", "total_msgs", "total_bytes"),
			fmt.Sprintf("cluster_id=test-cluster server_id=%v type=SQL total_msgs=4 total_bytes=%v", id, server["total_bytes"]); got != want {
			t.Errorf("storez:\n %s, want\n %s", got, want)
		}
		if got, want := fmt.Sprint(store["limits"]), "map[channels:map["+
			"limited.>:map[max_age:3.6e+12 max_bytes:0 max_inactivity:0 max_msgs:5 max_subscriptions:0] "+
			"limited.one:map[max_age:7.2e+12 max_bytes:0 max_inactivity:0 max_msgs:5 max_subscriptions:0]] "+
			"max_age:3.6e+12 max_bytes:0 max_channels:100 max_inactivity:0 max_msgs:0 max_subscriptions:0]"; got != want {
			t.Errorf("limits:\n %s, want\n %s", got, want)
		}

		clients := s.json("/streaming/clientsz")
		if got, want := clients.only("cluster_id", "server_id", "offset", "limit", "count", "total"),
			fmt.Sprintf("cluster_id=test-cluster server_id=%v offset=0 limit=1024 count=2 total=2", id); got != want {
			t.Errorf("clientsz:\n %s, want\n %s", got, want)
		}
		if got, want := clients.list("clients")[0]["id"], "here"; got != want {
			t.Errorf("clients are not ordered by ID: %v", clients)
		}
		one := s.json("/streaming/clientsz?client=here&subs=1")
		if got, want := one.only("id", "subs_count"), "id=here subs_count=4"; got != want || len(one["subscriptions"].(map[string]any)["foo"].([]any)) != 4 {
			t.Errorf("one client: %v", one)
		}

		channel := s.json("/streaming/channelsz?channel=foo&subs=1")
		if got, want := channel.only("name", "msgs", "first_seq", "last_seq", "subs_count"), "name=foo msgs=3 first_seq=1 last_seq=3 subs_count=6"; got != want {
			t.Errorf("one channel:\n %s, want\n %s", got, want)
		}
		key := []string{"client_id", "durable_name", "queue_name", "is_durable", "is_offline", "max_inflight", "ack_wait", "last_sent", "pending_count", "is_stalled"}
		var got []string
		for _, sub := range channel.list("subscriptions") {
			got = append(got, sub.only(key...))
		}
		wait := patience / time.Second
		want := []string{
			fmt.Sprintf("client_id=away durable_name=away queue_name=<nil> is_durable=true is_offline=true max_inflight=1024 ack_wait=%d last_sent=3 pending_count=3 is_stalled=false", wait),
			fmt.Sprintf("client_id=away durable_name=<nil> queue_name=away:group is_durable=true is_offline=true max_inflight=1024 ack_wait=%d last_sent=3 pending_count=3 is_stalled=false", wait),
			fmt.Sprintf("client_id=here durable_name=<nil> queue_name=<nil> is_durable=false is_offline=false max_inflight=2 ack_wait=%d last_sent=2 pending_count=2 is_stalled=true", wait),
			fmt.Sprintf("client_id=here durable_name=<nil> queue_name=plain is_durable=false is_offline=false max_inflight=1024 ack_wait=%d last_sent=3 pending_count=3 is_stalled=false", wait),
			fmt.Sprintf("client_id=here durable_name=here queue_name=<nil> is_durable=true is_offline=false max_inflight=1024 ack_wait=%d last_sent=3 pending_count=3 is_stalled=false", wait),
			fmt.Sprintf("client_id=here durable_name=<nil> queue_name=here:group is_durable=true is_offline=false max_inflight=1024 ack_wait=%d last_sent=3 pending_count=3 is_stalled=false", wait),
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("subscriptions:\n %s\nwant:\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
		}
		if got, want := s.json("/streaming/channelsz?channel=foo").only("subs_count", "subscriptions"), "subs_count=6 subscriptions=<nil>"; got != want {
			t.Errorf("one channel without subscriptions: %s", got)
		}

		for path, want := range map[string]string{
			"/streaming/clientsz?client=nobody":    "Client nobody not found\n",
			"/streaming/channelsz?channel=nowhere": "Channel nowhere not found\n",
		} {
			if body, resp := s.get(path); body != want || resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s %q", path, resp.Status, body)
			}
		}
		if body, resp := s.get("/streaming/isFTActive"); body != "" || resp.StatusCode != http.StatusNoContent {
			t.Errorf("isFTActive: %s %q", resp.Status, body)
		}
		if body, resp := s.get("/streaming"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "streaming/serverz") {
			t.Errorf("/streaming: %s %q", resp.Status, body)
		}
		if nats := s.json("/varz"); nats["server_id"] == "" {
			t.Errorf("varz: %v", nats)
		}
	})
}

func TestMonitoringPages(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	for _, name := range []string{"d", "b", "a", "c", "e"} {
		fill(t, s.connect(name), name, 1)
	}
	for query, want := range map[string]string{
		"":                                    "offset=0 limit=1024 count=5 total=5 [a b c d e]",
		"?offset=1&limit=2":                   "offset=1 limit=2 count=2 total=5 [b c]",
		"?offset=3&limit=9":                   "offset=3 limit=9 count=2 total=5 [d e]",
		"?offset=9":                           "offset=9 limit=1024 count=0 total=5 []",
		"?offset=-1&limit=0":                  "offset=0 limit=1024 count=5 total=5 [a b c d e]",
		"?offset=x&limit=y":                   "offset=0 limit=1024 count=5 total=5 [a b c d e]",
		"?offset=1&limit=9223372036854775807": "offset=1 limit=9.223372036854776e+18 count=4 total=5 [b c d e]",
	} {
		channels := s.json("/streaming/channelsz" + query)
		names, _ := channels["names"].([]any) // omitted if empty
		if got := channels.only("offset", "limit", "count", "total") + " " + fmt.Sprint(names); got != want {
			t.Errorf("channelsz%s: %s, want %s", query, got, want)
		}
		clients := s.json("/streaming/clientsz" + query)
		ids := []string{}
		for _, c := range clients.list("clients") {
			ids = append(ids, c["id"].(string))
		}
		if got := clients.only("offset", "limit", "count", "total") + " " + fmt.Sprint(ids); got != want {
			t.Errorf("clientsz%s: %s, want %s", query, got, want)
		}
	}

}

// No page can be read by web pages of other origins, or tells what lets its reader act.
func TestMonitoringIsPrivate(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1", "-inbox_prefixes", "_INBOX_shop")
	subscribers(t, s, "foo")
	shop := s.connect("shop", stan.NatsConn(natsConn(t, s.URL(), nats.CustomInboxPrefix("_INBOX_shop"))))
	subscribe(t, shop, "foo")
	for _, path := range []string{
		"/", "/varz", "/connz", "/connz?subs=1", "/routez", "/gatewayz", "/leafz", "/subsz?subs=1", "/subscriptionsz", "/stacksz", "/accountz",
		"/accstatz", "/jsz", "/healthz", "/healthz?js-enabled-only=true", "/readyz", "/ipqueuesz", "/raftz", "/debug/vars", "/metrics",
		"/streaming", "/streaming/serverz", "/streaming/storez", "/streaming/clientsz?subs=1", "/streaming/channelsz?subs=1",
	} {
		body, resp := s.get(path)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s allows origin %s", path, got)
		}
		if resp.StatusCode == http.StatusNotFound && path != "/raftz" { // there is no Raft group
			t.Errorf("%s: %s", path, resp.Status)
		}
		if strings.Contains(body, "cmdline") || strings.Contains(body, "-sql_source") {
			t.Errorf("%s shows the command line", path)
		}
		if got := secretInbox.FindString(body); got != "" {
			t.Errorf("%s shows inbox %s", path, got)
		}
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		if body, resp := s.get(path + separator + "callback=f"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "JSONP") {
			t.Errorf("%s with callback: %s %s", path, resp.Status, body)
		}
	}
	sub := s.json("/streaming/channelsz?channel=foo&subs=1").list("subscriptions")[0]
	if got, want := sub.only("inbox", "ack_inbox"), "inbox=_INBOX.*** ack_inbox=_INBOX.test-cluster.acks.***"; got != want {
		t.Errorf("inboxes: %s, want %s", got, want)
	}
	port := monitorLine.FindStringSubmatch(s.Log.String())[1]
	if got := net.JoinHostPort("127.0.0.1", fmt.Sprint(s.json("/varz")["http_port"])); got != port {
		t.Errorf("varz says port %s, want %s", got, port)
	}
}

// secretInbox matches an inbox with more than a wildcard or asterisks in place of its secret.
var secretInbox = regexp.MustCompile(`_INBOX(_shop)?\.[A-Za-z0-9]{20,}|acks\.[A-Za-z0-9]{20,}`)

func TestMonitoringOfStandby(t *testing.T) {
	t.Parallel()
	source := databases.Postgres(t) // on SQLite, a paused server holds the lock of the file
	first := start(t, "postgres", source, "-m", "-1", "-ft_group", "ft")
	fill(t, first.connect("client"), "foo", 1)
	second := launch(t, "postgres", source, "-m", "-1")
	second.WaitLog(t, "Starting in standby mode")
	for _, it := range []struct {
		s          *server
		want       string
		active     int
		leadership string
	}{
		{first, "cluster_id=test-cluster state=FT_ACTIVE clients=1 channels=1 total_msgs=1", http.StatusOK, "nats_streaming_active 1"},
		{second, "cluster_id= state=FT_STANDBY clients=0 channels=0 total_msgs=0", http.StatusNoContent, "nats_streaming_active 0"},
	} {
		if got := it.s.json("/streaming/serverz").only("cluster_id", "state", "clients", "channels", "total_msgs"); got != it.want {
			t.Errorf("serverz: %s, want %s", got, it.want)
		}
		if body, resp := it.s.get("/streaming/isFTActive"); resp.StatusCode != it.active || body != "" {
			t.Errorf("isFTActive: %s %q", resp.Status, body)
		}
		if body, _ := it.s.get("/metrics"); !strings.Contains(body, it.leadership+"\n") {
			t.Errorf("%s is missing in %s", it.leadership, body)
		}
	}
	if got, want := second.json("/streaming/channelsz").only("cluster_id", "count", "total", "names"), "cluster_id= count=0 total=0 names=<nil>"; got != want {
		t.Errorf("channelsz of a standby: %s", got)
	}
	if got, want := second.json("/streaming/clientsz").only("count", "total", "clients"), "count=0 total=0 clients=[]"; got != want {
		t.Errorf("clientsz of a standby: %s", got)
	}
	if got, want := second.json("/streaming/storez").only("cluster_id", "type", "total_msgs"), "cluster_id= type=SQL total_msgs=0"; got != want {
		t.Errorf("storez of a standby: %s", got)
	}
	if body, resp := second.get("/streaming/channelsz?channel=foo"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a channel of a standby: %s", body)
	}
	// The first server is paused, the second one takes over, and the first one notices that when it resumes.
	first.Process.Signal(syscall.SIGSTOP)
	second.Ready()
	first.Process.Signal(syscall.SIGCONT)
	first.WaitLog(t, "stepping down")
	first.WaitLog(t, "Starting in standby mode")
	if got, want := first.json("/streaming/serverz").only("cluster_id", "state", "clients", "channels"), "cluster_id= state=FT_STANDBY clients=0 channels=0"; got != want {
		t.Errorf("after stepping down: %s", got)
	}
	if got, want := second.json("/streaming/serverz").only("cluster_id", "state", "channels"), "cluster_id=test-cluster state=FT_ACTIVE channels=1"; got != want {
		t.Errorf("after takeover: %s", got)
	}
}

// The monitoring port belongs to NATS whichever option opens it, and also exists with an external NATS server.
func TestMonitoringPort(t *testing.T) {
	t.Parallel()
	t.Run("configuration file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte("http: \"127.0.0.1:-1\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, "sqlite", databases.SQLite(t), "-c", file)
		if got := s.json("/streaming/serverz")["state"]; got != "STANDALONE" {
			t.Errorf("state %v", got)
		}
	})
	t.Run("external NATS", func(t *testing.T) {
		t.Parallel()
		ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		defer ns.Shutdown()
		if !ns.ReadyForConnections(patience) {
			t.Fatal("the NATS server did not start")
		}
		s := start(t, "sqlite", databases.SQLite(t), "-ns", ns.ClientURL(), "-m", "-1")
		if got := s.json("/streaming/serverz")["state"]; got != "STANDALONE" {
			t.Errorf("state %v", got)
		}
		if _, resp := s.get("/metrics"); resp.StatusCode != http.StatusOK {
			t.Errorf("metrics: %s", resp.Status)
		}
		s.Stop()
		if got := s.Process.ExitCode(); got != 0 {
			t.Errorf("exit status %d", got)
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		s := start(t, "sqlite", databases.SQLite(t))
		if found := s.Log.Contains("http monitor"); found {
			t.Error("a monitoring port is open without an option")
		}
	})
}

// A subscription is visible in monitoring as soon as its client has the answer.
func TestMonitoringSeesSubscribers(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	sc := s.connect("client")
	for n := range 200 {
		subscribe(t, sc, "c")
		want := fmt.Sprintf("subs_count=%d", n+1)
		if got := s.json("/streaming/channelsz?channel=c").only("subs_count"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		want = fmt.Sprintf("subscriptions=%d", n+1)
		if got := s.json("/streaming/serverz").only("subscriptions"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// After a restart, an offline durable has the ID of its last client, which is part of its name, and a durable queue group none.
func TestMonitoringOffline(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	subscribers(t, s, "foo")
	clients := func() map[string]string {
		all := map[string]string{}
		for _, sub := range s.json("/streaming/channelsz?channel=foo&subs=1").list("subscriptions") {
			if sub["is_offline"] == true {
				all[fmt.Sprint(sub["durable_name"], " ", sub["queue_name"])] = fmt.Sprint(sub["client_id"])
			}
		}
		return all
	}
	if got, want := fmt.Sprint(clients()), "map[<nil> away:group:away away <nil>:away]"; got != want {
		t.Errorf("offline: %s, want %s", got, want)
	}
	s.Stop()
	s.Restart()
	if got, want := fmt.Sprint(clients()), "map[<nil> away:group: away <nil>:away]"; got != want {
		t.Errorf("offline after a restart: %s, want %s", got, want)
	}
}
