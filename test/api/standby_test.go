package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// standBy starts a second server on a database, and returns it with the address of its API and the port of its pages. It
// serves reads if the arguments say so.
func standBy(t *testing.T, driver, source string, args ...string) (s *harness.Server, address string, pages int) {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if pages, err = databases.FreePort(); err != nil {
		t.Fatal(err)
	}
	s = harness.New(t, harness.Binary(), append([]string{
		"-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-store_timeout", "20s",
		"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-m", strconv.Itoa(pages),
	}, args...)...)
	s.Launch()
	s.WaitLog(t, "Starting in standby mode")
	return s, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), pages
}

// readStandBy is standBy with reads.
func readStandBy(t *testing.T, driver, source string, args ...string) (s *harness.Server, address string, pages int) {
	t.Helper()
	s, address, pages = standBy(t, driver, source, append(args, "-grpc_standby_reads")...)
	s.WaitLog(t, "Standby serves reads")
	return s, address, pages
}

var stalenessText = regexp.MustCompile(`^position=(\d+); age=(\d+)ms$`)

// stalenessOf returns the position and the age of an answer of a standby.
func stalenessOf(t *testing.T, header http.Header) (position uint64, age time.Duration) {
	t.Helper()
	found := stalenessText.FindStringSubmatch(header.Get("X-Staleness"))
	if found == nil {
		t.Fatalf("X-Staleness is %q", header.Get("X-Staleness"))
	}
	position, _ = strconv.ParseUint(found[1], 10, 64)
	milliseconds, _ := strconv.ParseInt(found[2], 10, 64)
	return position, time.Duration(milliseconds) * time.Millisecond
}

// within returns a context whose call accepts answers that are at most that stale.
func within(t *testing.T, staleness string) context.Context {
	ctx, call := connect.NewClientContext(patient(t))
	call.RequestHeader().Set("X-Max-Staleness", staleness)
	return ctx
}

// A standby serves all that reads, as fresh as it says, and nothing that writes.
func TestStandbyReads(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, leaderAddress := start(t, driver, source)
		leader := dial(t, leaderAddress)
		add(t, leader, "eventstore.a", withID("first", event("a", 1)))
		_, address, _ := readStandBy(t, driver, source)
		standby := dial(t, address)

		t.Run("as fresh as it says", func(t *testing.T) {
			for n := uint64(2); n <= 20; n++ {
				add(t, leader, "eventstore.a", event("a", n))
				acknowledged := time.Now()
				for {
					asked := time.Now()
					ctx, call := connect.NewClientContext(patient(t))
					stream, err := standby.Read(ctx, &eventstorev1.ReadRequest{Channel: "eventstore.a"})
					var last uint64
					for _, r := range all(t, stream, err) {
						last = r.GetCheckpoint()
					}
					position, age := stalenessOf(t, call.ResponseHeader())
					if position > last {
						t.Fatalf("position %d, but the last event is %d", position, last)
					}
					if last == n {
						break
					}
					if asked.Add(-age - time.Millisecond).After(acknowledged) {
						t.Fatalf("an answer that is %v old lacks event %d, acknowledged %v before", age, n, asked.Sub(acknowledged))
					}
				}
			}
		})
		t.Run("every method", func(t *testing.T) {
			stream, err := standby.ReadAggregate(patient(t), &eventstorev1.ReadAggregateRequest{Channel: "eventstore.a", AggregateType: "Order", AggregateId: "a"})
			versions := 0
			for _, r := range all(t, stream, err) {
				versions += len(r.GetEvents())
			}
			if versions != 20 {
				t.Errorf("the aggregate has %d events", versions)
			}
			for _, req := range []*eventstorev1.GetEventRequest{
				{Channel: "eventstore.a", Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}},
				{Key: &eventstorev1.GetEventRequest_EventId{EventId: "first"}},
			} {
				resp, err := standby.GetEvent(patient(t), req)
				if err != nil || resp.GetEvent().GetSequence() != 1 {
					t.Errorf("%v: %v %v", req, resp, err)
				}
			}
			add(t, leader, "eventstore.b", event("b", 1)) // a channel that the standby has not seen yet
			sameChannels(t, leader, standby)
			if got := sequences(readAll(t, standby, &eventstorev1.ReadRequest{Channel: "eventstore.b"})); got != "1 " {
				t.Errorf("the new channel has the events %q", got)
			}
			_, err = standby.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: "eventstore.b", Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 2}})
			wantCode(t, "an event that does not exist", err, connect.CodeNotFound)
		})
		t.Run("subscription", func(t *testing.T) {
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			stream, err := standby.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: "eventstore.a"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Close() }()
			last := uint64(0)
			receive := func(to uint64) {
				t.Helper()
				for last < to && stream.Receive() {
					if stream.Msg().GetStaleness() == nil || stream.Msg().GetStaleness().GetPosition() == 0 {
						t.Errorf("a response without staleness: %v", stream.Msg())
					}
					for _, e := range stream.Msg().GetEvents() {
						if last++; e.GetSequence() != last {
							t.Fatalf("received %d, want %d", e.GetSequence(), last)
						}
					}
				}
				if last < to {
					t.Fatalf("the subscription ended after %d: %v", last, stream.Err())
				}
			}
			receive(20)
			for n := uint64(21); n <= 40; n++ {
				add(t, leader, "eventstore.a", event("a", n))
				receive(n)
			}
			_, err = drain(standby.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: "eventstore.missing"}))
			wantCode(t, "subscription to a channel that does not exist", err, connect.CodeUnavailable)
		})
		t.Run("all channels", func(t *testing.T) {
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			stream, err := standby.Subscribe(ctx, &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Close() }()
			last := uint64(0)
			for n := uint64(42); n <= 61; n++ { // 40 events of one channel, 1 of another; each further one is on a new channel
				add(t, leader, fmt.Sprint("eventstore.new", n), event("a", 1))
				for last < n && stream.Receive() {
					if stream.Msg().GetStaleness() == nil {
						t.Errorf("a response without staleness: %v", stream.Msg())
					}
					for _, e := range stream.Msg().GetEvents() {
						if last++; e.GetPosition() != last {
							t.Fatalf("received position %d, want %d", e.GetPosition(), last)
						}
					}
				}
				if last < n {
					t.Fatalf("the subscription ended after position %d: %v", last, stream.Err())
				}
			}
			if got := len(readAll(t, standby, &eventstorev1.ReadRequest{Query: &eventstorev1.Query{}})); got != 61 {
				t.Errorf("read %d events", got)
			}
		})
		t.Run("refusals", func(t *testing.T) {
			_, err := standby.Append(patient(t), &eventstorev1.AppendRequest{Channel: "eventstore.a", Events: []*eventstorev1.Event{event("a", 0)}})
			wantCode(t, "append", err, connect.CodeUnavailable)
			list := func(c client, staleness string) error {
				_, err := c.ListChannels(within(t, staleness), &eventstorev1.ListChannelsRequest{})
				return err
			}
			wantCode(t, "fresh", list(standby, "0"), connect.CodeUnavailable)
			wantCode(t, "fresher than a look takes", list(standby, "1ns"), connect.CodeUnavailable)
			for _, err := range []error{list(standby, "20s"), list(leader, "0")} {
				if err != nil {
					t.Error(err)
				}
			}
			for _, c := range []client{leader, standby} {
				wantCode(t, "not a duration", list(c, "soon"), connect.CodeInvalidArgument)
				wantCode(t, "negative", list(c, "-1s"), connect.CodeInvalidArgument)
			}
			ctx, call := connect.NewClientContext(patient(t))
			if _, err := leader.ListChannels(ctx, &eventstorev1.ListChannelsRequest{}); err != nil || call.ResponseHeader().Get("X-Staleness") != "" {
				t.Errorf("the leader says how stale it is: %v %v", call.ResponseHeader(), err)
			}
		})
	})
}

// sameChannels waits until a standby lists what the leader lists.
func sameChannels(t *testing.T, leader, standby client) {
	t.Helper()
	want, err := leader.ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(harness.Patience); ; {
		got, err := standby.ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby lists\n%v\nthe leader\n%v", got, want)
		}
	}
}

// A channel without an event exists on the standby, too, and plain channels do not.
func TestStandbyChannels(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, leaderAddress := start(t, driver, source)
		leader := dial(t, leaderAddress)
		_, address, _ := readStandBy(t, driver, source)
		standby := dial(t, address)
		for i := range 3 {
			ctx, cancel := context.WithCancel(patient(t))
			stream, err := leader.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: fmt.Sprint("eventstore.empty", i)})
			if err != nil || !stream.Receive() {
				t.Fatal(err, stream.Err())
			}
			cancel()
			_ = stream.Close()
			sameChannels(t, leader, standby)
			add(t, leader, fmt.Sprint("eventstore.filled", i), event("a", 1), event("a", 2))
			sameChannels(t, leader, standby)
		}
		// So many events that the standby reads all channels again.
		for n := uint64(3); n <= 202; n += 100 {
			var events []*eventstorev1.Event
			for i := range uint64(100) {
				events = append(events, event("a", n+i))
			}
			add(t, leader, "eventstore.filled0", events...)
		}
		sameChannels(t, leader, standby)
		stream, err := standby.Read(patient(t), &eventstorev1.ReadRequest{Channel: "plain"})
		_, err = drain(stream, err)
		wantCode(t, "plain channel", err, connect.CodeFailedPrecondition)
	})
}

// Without the option, a standby refuses everything.
func TestStandbyWithoutReads(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	_, leader := start(t, "sqlite", source)
	add(t, dial(t, leader), billing, event("a", 1))
	_, address, pages := standBy(t, "sqlite", source)
	for what, call := range calls(t, dial(t, address), billing) {
		wantCode(t, what, call(), connect.CodeUnavailable)
	}
	if status, body := statusPage(t, pages, "/readyz?reads=1"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", status, body)
	}
}

// A caller has the same rights on a standby as on the leader.
func TestStandbyAccess(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"),
			principal("admin", `admin: [">"]`), principal("reader", `read: ["eventstore.billing.*"]`), principal("writer", `append: ["eventstore.billing.>"]`))
		_, leader := start(t, driver, source, "-access_file", file)
		for _, channel := range []string{billing, sales} {
			add(t, dialAs(t, leader, "admin"), channel, withID("id", event("a", 1)))
		}
		_, address, _ := readStandBy(t, driver, source, "-access_file", file)
		for who, channels := range map[string]string{"admin": billing + sales, "reader": billing, "writer": ""} {
			for _, channel := range []string{billing, sales, "eventstore.sales.missing"} {
				for what, call := range calls(t, dialAs(t, address, who), channel) {
					want := connect.CodePermissionDenied
					switch may := strings.Contains(channels, channel); {
					case what == "append":
						want = connect.CodeUnavailable
					case may || who == "admin" && what == "read by subscribing":
						want = 0
					case who == "admin":
						want = connect.CodeNotFound
					}
					if channel == "eventstore.sales.missing" && who == "admin" && what == "read by subscribing" {
						want = connect.CodeUnavailable
					}
					if err := call(); want == 0 && err != nil || want != 0 && connect.CodeOf(err) != want {
						t.Errorf("%s: %s on %s: %v, want %v", who, what, channel, err, want)
					}
				}
			}
		}
		_, err := dialAs(t, address, "stranger").ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
		wantCode(t, "stranger", err, connect.CodeUnauthenticated)
		resp, err := dialAs(t, address, "reader").ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
		if err != nil || len(resp.GetChannels()) != 1 || resp.GetChannels()[0].GetName() != billing {
			t.Errorf("the reader sees %v %v", resp, err)
		}
	})
}

// statusPage gets a page of the monitoring port.
func statusPage(t *testing.T, port int, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(patient(t), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Monitoring tells whether a standby serves reads, and how stale they are.
func TestStandbyMonitoring(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	_, leaderAddress := start(t, "sqlite", source)
	leader := dial(t, leaderAddress)
	add(t, leader, "eventstore.a", event("a", 1), event("a", 2))
	_, address, pages := readStandBy(t, "sqlite", source)
	sameChannels(t, leader, dial(t, address))

	for path, want := range map[string]int{"/readyz": 503, "/readyz?standby=1": 200, "/readyz?reads=1": 200, "/healthz": 200} {
		if status, body := statusPage(t, pages, path); status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
	}
	_, metrics := statusPage(t, pages, "/metrics")
	for _, want := range []string{"nats_streaming_active 0", "nats_streaming_standby_reads 1", "nats_streaming_standby_position 2", "nats_streaming_standby_staleness_seconds 0."} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	var status struct {
		State        string `json:"state"`
		StandbyReads *struct {
			Position uint64 `json:"position"`
		} `json:"standby_reads"`
	}
	_, body := statusPage(t, pages, "/streaming/serverz")
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.State != "FT_STANDBY" || status.StandbyReads == nil || status.StandbyReads.Position != 2 {
		t.Errorf("serverz: %v %s", err, body)
	}
	for server, want := range map[string]map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		leaderAddress: {"": grpc_health_v1.HealthCheckResponse_SERVING, "reads": grpc_health_v1.HealthCheckResponse_SERVING},
		address:       {"": grpc_health_v1.HealthCheckResponse_NOT_SERVING, "reads": grpc_health_v1.HealthCheckResponse_SERVING},
	} {
		conn, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		for service, want := range want {
			resp, err := grpc_health_v1.NewHealthClient(conn).Check(patient(t), &grpc_health_v1.HealthCheckRequest{Service: service})
			if err != nil || resp.GetStatus() != want {
				t.Errorf("health of %q at %s: %v %v, want %v", service, server, resp, err, want)
			}
		}
	}
}
