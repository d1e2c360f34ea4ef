package monitor

import (
	"cmp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// seriesChannels bounds the channels that have their own series. The oldest channels have them, so that a channel keeps
// its series. Totals cover all channels.
const seriesChannels = 1000

func describeGauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

// gaugeDescs describes the gauges that a scrape computes; metrics holds the counters.
var gaugeDescs = struct {
	info, active, clients, channels, subscriptions, messages, bytes, queued,
	replayLimit, damaged, channelMessages, channelBytes, channelLast, lagMessages, lagSeconds,
	relayLagMessages, relayLagSeconds, relayFailing, relayPublished, relayFailures *prometheus.Desc
}{
	info:          describeGauge("info", "1; what this server is.", "cluster_id", "server_id", "version"),
	active:        describeGauge("active", "1 while this server serves clients, 0 while it starts or is a standby."),
	clients:       describeGauge("clients", "Registered clients."),
	channels:      describeGauge("channels", "Channels."),
	subscriptions: describeGauge("subscriptions", "Subscriptions by state: active, or offline durables.", "state"),
	messages:      describeGauge("messages", "Stored messages in all channels."),
	bytes:         describeGauge("message_bytes", "Bytes of the stored messages in all channels."),
	queued:        describeGauge("queued_publishes", "Published messages that are waiting for a commit."),
	replayLimit:   describeGauge("replay_limit", "Messages per second that all replays together may send; +Inf while replays do not slow publishers down."),
	damaged:       describeGauge("damaged_rows", "Database rows found damaged."),
	channelMessages: describeGauge("channel_messages",
		"Stored messages in a channel. Only the 1000 oldest channels have their own series.", "channel"),
	channelBytes: describeGauge("channel_message_bytes", "Bytes of the stored messages in a channel.", "channel"),
	channelLast:  describeGauge("channel_last_sequence", "Sequence of the last message in a channel.", "channel"),
	lagMessages: describeGauge("lag_messages",
		"Messages not yet sent to a durable or queue group, or not acknowledged by it.", groupLabels...),
	lagSeconds: describeGauge("lag_seconds",
		"Age of the first message that a durable or queue group has not acknowledged, 0 without one.", groupLabels...),
	relayLagMessages: describeGauge("relay_lag_messages",
		"Messages of an event channel that a relay has not yet processed.", "channel", "stream"),
	relayLagSeconds: describeGauge("relay_lag_seconds", "Age of the first message that a relay has not yet processed, 0 without one.", "channel", "stream"),
	relayFailing:    describeGauge("relay_failing", "1 while a relay waits after an error, 0 otherwise.", "stream"),
	relayPublished:  describeGauge("relay_published_total", "Events acknowledged by a stream.", "stream"),
	relayFailures:   describeGauge("relay_failures_total", "Relay attempts that ended with an error.", "stream"),
}

// groupLabels name a group as /streaming/channelsz does. A plain durable has client_id and durable_name. A queue group
// has only queue_name, which is "durable:group" if it is durable.
var groupLabels = []string{"channel", "client_id", "durable_name", "queue_name"}

// gauges collects the gauges at each scrape.
type gauges struct{ monitor *Monitor }

// Describe sends nothing: the set of series depends on the server's state.
func (c *gauges) Describe(chan<- *prometheus.Desc) {}

// Collect never waits for the database.
func (c *gauges) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		for i := range labels {
			// Clients choose the names and may send any bytes. Invalid UTF-8 must not break the scrape, nor merge two
			// series.
			if !utf8.ValidString(labels[i]) {
				quoted := strconv.Quote(labels[i])
				labels[i] = quoted[1 : len(quoted)-1]
			}
		}
		m, err := prometheus.NewConstMetric(d, kind, v, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		to <- m
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }
	m := c.monitor
	_, t := m.current()
	gauge(gaugeDescs.info, 1, m.opts.ClusterID, m.opts.ServerID, m.opts.Version)
	if t == nil {
		gauge(gaugeDescs.active, 0)
		return
	}
	gauge(gaugeDescs.active, 1)
	gauge(gaugeDescs.clients, float64(len(t.clients())))
	_, damaged := t.damagedRows()
	gauge(gaugeDescs.damaged, float64(damaged))
	gauge(gaugeDescs.queued, float64(t.Clients.Unanswered()))
	gauge(gaugeDescs.replayLimit, t.Log.ReplayLimit())

	channels := t.oldestChannels()
	gauge(gaugeDescs.channels, float64(len(channels)))
	msgs, bytes := t.totals()
	gauge(gaugeDescs.messages, float64(msgs))
	gauge(gaugeDescs.bytes, float64(bytes))
	for _, ch := range channels[:min(seriesChannels, len(channels))] {
		info := ch.Info()
		gauge(gaugeDescs.channelMessages, float64(info.Msgs), ch.Name())
		gauge(gaugeDescs.channelBytes, float64(info.Bytes), ch.Name())
		gauge(gaugeDescs.channelLast, float64(info.Last), ch.Name())
	}

	now := time.Now().UnixNano()
	groups := make(map[*consumers.Group]struct{})
	active, offline := 0, 0
	for _, ch := range channels {
		for _, g := range t.groups(ch) {
			a, o := g.Size()
			active, offline = active+a, offline+o
			key := g.Key()
			if key == (consumers.Key{}) {
				continue // an anonymous subscription has no lasting name
			}
			groups[g] = struct{}{}
			labels := []string{ch.Name(), key.Client, key.Durable, key.Queue}
			b := g.Backlog()
			seconds := 0.0
			if b.First > 0 {
				seconds = max(0, time.Duration(now-m.lags.since(ch, g, b)).Seconds())
			}
			gauge(gaugeDescs.lagMessages, float64(b.Msgs), labels...)
			gauge(gaugeDescs.lagSeconds, seconds, labels...)
		}
	}
	m.lags.forget(func(g *consumers.Group) bool {
		_, ok := groups[g]
		return ok
	})
	gauge(gaugeDescs.subscriptions, float64(active), "active")
	gauge(gaugeDescs.subscriptions, float64(offline), "offline")

	for _, r := range t.Relays {
		failing := 0.0
		if r.Failing() {
			failing = 1
		}
		gauge(gaugeDescs.relayFailing, failing, r.Stream)
		send(gaugeDescs.relayPublished, prometheus.CounterValue, float64(r.Published()), r.Stream)
		send(gaugeDescs.relayFailures, prometheus.CounterValue, float64(r.Failures()), r.Stream)
		lags := r.Lags()
		for _, l := range lags[:min(seriesChannels, len(lags))] {
			gauge(gaugeDescs.relayLagMessages, float64(l.Messages), l.Channel, r.Stream)
			gauge(gaugeDescs.relayLagSeconds, l.Seconds, l.Channel, r.Stream)
		}
	}
}

// oldestChannels returns all channels, oldest first.
func (t *Term) oldestChannels() []*eventlog.Channel {
	all := slices.Clone(t.channels())
	slices.SortFunc(all, func(a, b *eventlog.Channel) int { return cmp.Compare(a.Stored().ID(), b.Stored().ID()) })
	return all
}
