// Package clients tests clients that fail as applications and networks do: they read too slowly, vanish, never
// acknowledge, come and go by the thousand, or lose their NATS server. Other clients must not notice.
package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers for count
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const channel = "plain"

// connect connects a client and closes it when the test ends.
func connect(t *testing.T, url, id string) stan.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sc, err := stan.Connect("test-cluster", id, stan.NatsConn(nc), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience), stan.Pings(1, 20),
		stan.SetConnectionLostHandler(func(stan.Conn, error) {})) // lost connections are part of the tests
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// inbox receives the messages of a subscription.
type inbox chan *stan.Msg

func subscribe(t *testing.T, sc stan.Conn, group string, ack bool, opts ...stan.SubscriptionOption) (stan.Subscription, inbox) {
	t.Helper()
	in := make(inbox, 1<<17)
	handler := func(m *stan.Msg) {
		in <- m
		if ack {
			_ = m.Ack() // if the server is away, it redelivers the message
		}
	}
	opts = append([]stan.SubscriptionOption{stan.SetManualAckMode(), stan.AckWait(time.Second), stan.DeliverAllAvailable()}, opts...)
	var sub stan.Subscription
	var err error
	if group == "" {
		sub, err = sc.Subscribe(channel, handler, opts...)
	} else {
		sub, err = sc.QueueSubscribe(channel, group, handler, opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub, in
}

// until receives messages until it has seen every sequence from 1 to last.
func (in inbox) until(t *testing.T, last int) {
	t.Helper()
	seen := make(map[uint64]bool, last)
	deadline := time.After(harness.Patience)
	for len(seen) < last {
		select {
		case m := <-in:
			seen[m.Sequence] = true
		case <-deadline:
			t.Fatalf("%d of %d messages within %v", len(seen), last, harness.Patience)
		}
	}
}

func publish(t *testing.T, sc stan.Conn, n int, payload []byte) {
	t.Helper()
	failed := make(chan error, n)
	for range n {
		if _, err := sc.PublishAsync(channel, payload, func(_ string, err error) { failed <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

var monitorLine = regexp.MustCompile(`Starting http monitor on (\S+)`)

// get requests a path from a server's monitoring port.
func get(t *testing.T, s *harness.Server, path string) string {
	t.Helper()
	s.WaitLog(t, "Starting http monitor on ")
	resp, err := (&http.Client{Timeout: harness.Patience}).Get("http://" + monitorLine.FindStringSubmatch(s.Log.String())[1] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// subscriptions lists the queue and durable names of a channel's subscriptions, with "offline" for those that are.
func subscriptions(t *testing.T, s *harness.Server) []string {
	t.Helper()
	var d struct {
		Subscriptions []struct {
			ClientID    string `json:"client_id"`
			QueueName   string `json:"queue_name"`
			DurableName string `json:"durable_name"`
			IsOffline   bool   `json:"is_offline"`
		} `json:"subscriptions"`
	}
	body := get(t, s, "/streaming/channelsz?channel="+channel+"&subs=1")
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err, body)
	}
	var all []string
	for _, sub := range d.Subscriptions {
		text := sub.ClientID + ":" + sub.QueueName + sub.DurableName
		if sub.IsOffline {
			text += ":offline"
		}
		all = append(all, text)
	}
	return all
}

// eventually polls another process.
func eventually(t *testing.T, what func() error) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
}

// metric returns the value of a Prometheus metric without labels.
func metric(t *testing.T, s *harness.Server, name string) float64 {
	t.Helper()
	for _, line := range strings.Split(get(t, s, "/metrics"), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatal(errors.New("no metric " + name))
	return 0
}

func differs(what string, got, want any) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}

// after returns what follows text in body.
func after(body, text string) string {
	_, rest, _ := strings.Cut(body, text)
	return strings.TrimSpace(rest)
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
