package test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var lagLine = regexp.MustCompile(`(?m)^nats_streaming_lag_(messages|seconds)\{channel="(.*)",client_id="(.*)",durable_name="(.*)",queue_name="(.*)"\} (\S+)$`)

// The view consumer_status has the lag that the metrics have, in messages and in seconds.
func TestConsumerStatus(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards", "-m", "-1", "-c", config(t, `limits { channels { "plain": { max_msgs: 7 } } }`))
		sc := s.connect("client")
		held := func(more ...stan.SubscriptionOption) []stan.SubscriptionOption {
			return append(more, stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(patience))
		}
		for range 9 {
			publish(t, sc, orders, event(t, "A", "T"))
			publish(t, sc, "eventstore.other", event(t, "B", "T"))
		}
		fill(t, sc, "plain", 20)
		_, all := subscribe(t, sc, orders, held(stan.DurableName("all"), stan.MaxInflight(3))...)
		all.next(t)
		if err := all.next(t).Ack(); err != nil { // 1 and 3 are left, and 4 comes
			t.Fatal(err)
		}
		all.sequences(t, 2)
		_, pattern := subscribe(t, sc, "eventstore.*", held(stan.DurableName("pattern"), stan.MaxInflight(2))...)
		pattern.sequences(t, 2)
		queue := newInbox()
		if _, err := sc.QueueSubscribe("plain", "workers", func(m *stan.Msg) { queue <- m }, held(stan.DurableName("d"), stan.MaxInflight(4))...); err != nil {
			t.Fatal(err)
		}
		queue.sequences(t, 4)
		done, in := subscribe(t, sc, orders, stan.DurableName("done"), stan.DeliverAllAvailable())
		in.sequences(t, 9)
		if err := done.Close(); err != nil {
			t.Fatal(err)
		}
		publish(t, sc, orders, event(t, "A", "T"))

		var view, metrics []string
		eventually(t, func() bool {
			view = query(t, driver, source, "SELECT channel, CASE WHEN kind = 'durable' THEN client ELSE '' END, name, lag_messages FROM consumer_status")
			body, _ := s.get("/metrics")
			metrics = nil
			for _, m := range lagLine.FindAllStringSubmatch(body, -1) {
				if m[1] == "messages" {
					metrics = append(metrics, fmt.Sprintf("%s|%s|%s|%s", m[2], m[3], m[4]+m[5], m[6]))
				}
			}
			slices.Sort(view)
			slices.Sort(metrics)
			return slices.Equal(view, metrics)
		})
		want := []string{"eventstore.*|client|pattern|19", orders + "|client|all|9", orders + "|client|done|1", "plain||d:workers|7"}
		if !slices.Equal(view, want) {
			t.Errorf("view and metrics have\n%s\nwant\n%s", strings.Join(view, "\n"), strings.Join(want, "\n"))
		}
		body, _ := s.get("/metrics")
		for _, m := range lagLine.FindAllStringSubmatch(body, -1) {
			if m[1] == "messages" {
				continue
			}
			row := query(t, driver, source, fmt.Sprintf("SELECT lag_seconds FROM consumer_status WHERE channel = '%s' AND name = '%s'", m[2], m[4]+m[5]))
			got, err := strconv.ParseFloat(row[0], 64)
			seconds, err2 := strconv.ParseFloat(m[6], 64)
			if err != nil || err2 != nil || got == 0 || math.Abs(got-seconds) > patience.Seconds() {
				t.Errorf("%s: %v seconds in the view, %v in the metrics (%v, %v)", m[0], got, seconds, err, err2)
			}
		}
		s.Stop()
	})
}
