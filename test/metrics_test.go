package test

import (
	"crypto/tls"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// metrics are the values of one scrape, by series as written.
type metrics map[string]float64

func (s *server) metrics() metrics {
	s.t.Helper()
	body, resp := s.get("/metrics")
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("metrics: %s %s", resp.Status, body)
	}
	found := make(metrics)
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " ")
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			s.t.Fatalf("metrics: %s: %v", line, err)
		}
		found[line[:at]] = v
	}
	return found
}

// check compares series. A missing series counts as 0.
func (m metrics) check(t *testing.T, want map[string]float64) {
	t.Helper()
	for series, v := range want {
		if got := m["nats_streaming_"+series]; got != v {
			t.Errorf("%s %v, want %v", series, got, v)
		}
	}
}

func lagSeries(what, channel, client, durable, queue string) string {
	return fmt.Sprintf("lag_%s{channel=%q,client_id=%q,durable_name=%q,queue_name=%q}", what, channel, client, durable, queue)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-m", "-1")
		sc := s.connect("client")
		first := event(t, "A", "T", withID("1"))
		publish(t, sc, orders, first, event(t, "A", "T", withID("2")), event(t, "A", "T"))
		publish(t, sc, orders, first) // a duplicate
		for _, refused := range [][]byte{
			[]byte("no event"),
			event(t, "A", "T", withVersion(7)),
			event(t, "A", "T", withID("1"), withData("other")),
		} {
			if err := sc.Publish(orders, refused); err == nil {
				t.Error("an invalid event was stored")
			}
		}
		for _, subject := range []string{"a..b", "*"} {
			if _, err := sc.Subscribe(subject, func(*stan.Msg) {}); err == nil {
				t.Error("a subscription to an invalid channel was accepted")
			}
		}
		request, err := (&pb.ConnectRequest{ClientID: "x"}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sc.NatsConn().Request("_STAN.discover.test-cluster", request, patience); err != nil {
			t.Fatal(err)
		}
		// Three messages are sent, the second one over and over until it is acknowledged. The first and second are
		// acknowledged.
		acked := make(chan uint64, 10)
		_, err = sc.Subscribe(orders, func(m *stan.Msg) {
			if m.Sequence == 1 || m.Redelivered && m.Sequence == 2 {
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
				acked <- m.Sequence
			}
		}, stan.DeliverAllAvailable(), stan.DurableName("d"), stan.SetManualAckMode(), stan.AckWait(time.Second), stan.MaxInflight(2))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			select {
			case <-acked:
			case <-time.After(patience):
				t.Fatal("no message arrived to acknowledge")
			}
		}
		eventually(t, func() bool {
			m := s.metrics()
			return m["nats_streaming_acks_total"] == 2 && m["nats_streaming_delivered_messages_total"] == 3
		})
		m := s.metrics()
		m.check(t, map[string]float64{
			"active": 1, "clients": 1, "channels": 1, "messages": 3, "queued_publishes": 0,
			`subscriptions{state="active"}`: 1, `subscriptions{state="offline"}`: 0,
			"received_messages_total": 7, "stored_messages_total": 3, "duplicate_messages_total": 1,
			"delivered_messages_total": 3, "acks_total": 2,
			"commit_batch_messages_sum": 6, "commit_batch_messages_count": m["nats_streaming_commit_duration_seconds_count"],
			`errors_total{kind="invalid_event",operation="publish"}`:        1,
			`errors_total{kind="wrong_version",operation="publish"}`:        1,
			`errors_total{kind="duplicate_event",operation="publish"}`:      1,
			`errors_total{kind="invalid_request",operation="subscription"}`: 2,
			`errors_total{kind="invalid_request",operation="connect"}`:      1,
			`channel_messages{channel="eventstore.orders"}`:                 3,
			`channel_last_sequence{channel="eventstore.orders"}`:            3,
			lagSeries("messages", orders, "client", "d", ""):                1,
		})
		if m["nats_streaming_redelivered_messages_total"] < 1 || m["nats_streaming_message_bytes"] < 60 || m["nats_streaming_sent_bytes_total"] < 60 ||
			m["nats_streaming_commit_duration_seconds_sum"] <= 0 || m["nats_streaming_received_bytes_total"] < 200 {
			t.Errorf("metrics %v", m)
		}
		if m["go_goroutines"] < 1 || m["process_open_fds"] < 1 {
			t.Error("the process metrics are missing")
		}
	})
}

// Lag counts from the first unacknowledged message, in memory or in the database.
func TestLag(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-m", "-1")
		sc, away := s.connect("here"), s.connect("away")
		fill(t, sc, "c", 3)
		var msgs []*stan.Msg
		in := newInbox()
		opts := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.DurableName("d"), stan.AckWait(patience)}
		if _, err := away.QueueSubscribe("c", "q", func(m *stan.Msg) { in <- m }, opts...); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			msgs = append(msgs, in.next(t))
		}
		if _, err := sc.QueueSubscribe("c", "idle", func(*stan.Msg) {}, stan.StartAt(pb.StartPosition_NewOnly)); err != nil {
			t.Fatal(err)
		}
		if err := msgs[0].Ack(); err != nil {
			t.Fatal(err)
		}
		if err := away.Close(); err != nil {
			t.Fatal(err)
		}
		// This pause separates the messages' ages. It is longer than a scrape.
		<-time.After(time.Second)
		fill(t, sc, "c", 2)

		second := time.Unix(0, msgs[1].Timestamp)
		// exact reports whether a scrape shows the exact age of the second message. A scrape never shows a greater age.
		exact := func() bool {
			before := time.Since(second).Seconds()
			m := s.metrics()
			after := time.Since(second).Seconds()
			m.check(t, map[string]float64{
				lagSeries("messages", "c", "", "", "d:q"): 4,
				`subscriptions{state="offline"}`:          1,
			})
			seconds, ok := m["nats_streaming_"+lagSeries("seconds", "c", "", "", "d:q")]
			if !ok || seconds > after {
				t.Fatalf("lag %v s (present: %t), want at most %v s", seconds, ok, after)
			}
			return seconds >= before
		}
		if !exact() {
			t.Error("the age of a message in memory is wrong")
		}
		eventually(t, func() bool {
			m := s.metrics()
			return m["nats_streaming_"+lagSeries("messages", "c", "", "", "idle")] == 0 && m["nats_streaming_"+lagSeries("seconds", "c", "", "", "idle")] == 0
		})
		s.Stop()
		s.Restart() // memory holds no messages now
		eventually(t, exact)

		// Reading the backlog from the database counts as replay.
		rejoined := s.connect("away")
		if _, err := rejoined.QueueSubscribe("c", "q", func(m *stan.Msg) { in <- m }, stan.DurableName("d")); err != nil {
			t.Fatal(err)
		}
		in.sequences(t, 4)
		eventually(t, func() bool { return s.metrics()["nats_streaming_"+lagSeries("messages", "c", "", "", "d:q")] == 0 })
		m := s.metrics()
		m.check(t, map[string]float64{"replayed_messages_total": 4, lagSeries("seconds", "c", "", "", "d:q"): 0})
	})
}

// Durable names with quotes, line breaks or invalid UTF-8 do not break a scrape.
func TestMetricsOfStrangeNames(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	sc := s.connect("client")
	for _, name := range []string{"\xff", "\xfe", "a\"b\nc", "fine"} {
		subscribe(t, sc, "c", stan.DurableName(name))
	}
	m := s.metrics()
	for _, name := range []string{`\xff`, `\xfe`, "a\"b\nc", "fine"} {
		if _, ok := m["nats_streaming_"+lagSeries("messages", "c", "client", name, "")]; !ok {
			t.Errorf("no lag of durable %q", name)
		}
	}
	m.check(t, map[string]float64{"active": 1, `subscriptions{state="active"}`: 4})
	if log := s.Log.String(); strings.Contains(log, "Failed to collect metrics") {
		t.Error("a scrape failed")
	}
}

// Monitoring answers from memory while the database is down.
func TestMonitoringWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := databases.Own(t, databases.KindPostgres)
	if err := db.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	// -store_timeout is longer than the test's patience.
	s := start(t, "postgres", db.DSN("events"), "-m", "-1", "-store_timeout", (2 * patience).String())
	sc := s.connect("client")
	sub, _ := subscribe(t, sc, "c", stan.DurableName("d"))
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, sc, "c", 3)
	s.Stop()
	s.Restart()
	s.metrics().check(t, map[string]float64{"clock_behind_seconds": 0})
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.metrics()["nats_streaming_lease_age_seconds"] > 1 })
	// Requests that wait for the database delay nobody.
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for subject, request := range map[string]interface{ Marshal() ([]byte, error) }{
		"_STAN.sub.test-cluster":     &pb.SubscriptionRequest{ClientID: "client", Subject: "c", Inbox: "x", AckWaitInSecs: 1, MaxInFlight: 1},
		"_STAN.pub.test-cluster.new": &pb.PubMsg{ClientID: "client", Guid: "x", Subject: "new"},
	} {
		b, err := request.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(subject, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"serverz", "storez", "clientsz?subs=1", "channelsz?subs=1", "channelsz?channel=c&subs=1"} {
		s.json("/streaming/" + path)
	}
	s.metrics().check(t, map[string]float64{lagSeries("messages", "c", "client", "d", ""): 3, "messages": 3})
	if err := db.Restart(); err != nil {
		t.Fatal(err)
	}
}

// The expiry of a certificate follows a reload, and a clock that is behind the last message shows.
func TestMetricsOfCertificatesAndClock(t *testing.T) {
	t.Parallel()
	ca, dir := authority.New(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func(end time.Time) {
		t.Helper()
		id := ca.IssueUntil("server", end)
		for to, from := range map[string]string{cert: id.Cert, key: id.Key} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	install(end)
	file, source := filepath.Join(dir, "server.conf"), databases.SQLite(t)
	if err := os.WriteFile(file, fmt.Appendf(nil, "tls { cert_file: %q, key_file: %q }", cert, key), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "sqlite", source, "-m", "-1", "-c", file, "-grpc_port", "-1", "-grpc_cert", cert, "-grpc_key", key)
	check := func(end time.Time) {
		t.Helper()
		at := float64(end.Unix())
		s.metrics().check(t, map[string]float64{`certificate_expiry_timestamp_seconds{port="nats"}`: at, `certificate_expiry_timestamp_seconds{port="api"}`: at})
	}
	check(end)
	sc := s.connect("client", stan.NatsOptions(nats.RootCAs(ca.File)))
	fill(t, sc, "c", 1)
	if err := sc.Close(); err != nil {
		t.Fatal(err)
	}
	install(end.Add(time.Minute))
	s.Process.Signal(syscall.SIGHUP)
	s.WaitLog(t, "Reloaded the access file")
	check(end.Add(time.Minute))
	s.Stop()

	// NATS keeps the certificate of flags, and so does the metric.
	s = start(t, "sqlite", source, "-m", "-1", "-tls", "-tlscert", cert, "-tlskey", key)
	install(end)
	s.Process.Signal(syscall.SIGHUP)
	s.WaitLog(t, "Reloaded the access file")
	s.metrics().check(t, map[string]float64{`certificate_expiry_timestamp_seconds{port="nats"}`: float64(end.Add(time.Minute).Unix())})
	s.Stop()

	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ahead := time.Now().Add(time.Hour)
	if _, err := db.ExecContext(t.Context(), "UPDATE Messages SET timestamp = ?", ahead.UnixNano()); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if behind, most := s.metrics()["nats_streaming_clock_behind_seconds"], time.Hour.Seconds(); behind > most || behind < most-patience.Seconds() {
		t.Errorf("the clock is %v seconds behind, want up to %v", behind, most)
	}
}

// docs/operate/monitoring.md lists exactly the existing metrics, and their names follow Prometheus' conventions.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	// A relay has its own metrics, and so have a consumer with settings and encrypted fields.
	if err := os.WriteFile(file, []byte(`streaming { routes { stream: ORDERS, subject: "ORDERS.{event_type}" }, consumers { max_deliveries: 1000 }
		keys { master: "env:PATH", source: "keys.db" } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t)
	id := ca.Issue("server") // a certificate has its expiry
	source := databases.SQLite(t)
	s := start(t, "sqlite", source, "-m", "-1", "-js", "-sd", t.TempDir(), "-sc", file,
		"-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-grpc_cert", id.Cert, "-grpc_key", id.Key)
	standby := launch(t, "sqlite", source, "-m", "-1", "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-grpc_standby_reads")
	standby.WaitLog(t, "Standby serves reads") // it has its own metrics, too
	api := regexp.MustCompile(`API listens on (\S+)`).FindStringSubmatch(s.Log.String())[1]
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer trusting.CloseIdleConnections()
	resp, err := trusting.Post(api+"/eventstore.v1.EventStore/ListChannels", "application/json", strings.NewReader("{}")) // the API counts requests
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	sc := s.connect("client")
	subscribe(t, sc, "c", stan.DurableName("d"))
	publish(t, sc, orders, event(t, "A", "T")) // an event channel, for the relay
	body, _ := s.get("/metrics")
	ofStandby, _ := standby.get("/metrics")
	var got []string
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (nats_streaming_\w+)`).FindAllStringSubmatch(body+ofStandby, -1) {
		got = append(got, line[1])
	}
	page, err := os.ReadFile("../docs/operate/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, line := range regexp.MustCompile("(?m)^\\| `(nats_streaming_\\w+)").FindAllStringSubmatch(string(page), -1) {
		want = append(want, line[1])
	}
	slices.Sort(got)
	got = slices.Compact(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("metrics:\n%s\ndocumented:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
