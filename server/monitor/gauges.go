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

// seriesChannels bounds the channels that have series of their own: the oldest ones, so that one which has them keeps
// them. The totals are of all channels.
const seriesChannels = 1000

func describeGauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

// gaugeDescs is what a scrape finds in memory, beside the counters of metrics.
var gaugeDescs = struct {
	info, active, clients, channels, subscriptions, messages, bytes, queued,
	replayLimit, damaged, channelMessages, channelBytes, channelLast, lagMessages, lagSeconds,
	relayLagMessages, relayLagSeconds, relayFailing, relayPublished, relayFailures *prometheus.Desc
}{
	info:          describeGauge("info", "1; what this server is.", "cluster_id", "server_id", "version"),
	active:        describeGauge("active", "1 while this server serves clients, 0 while it stands by or starts."),
	clients:       describeGauge("clients", "Registered clients."),
	channels:      describeGauge("channels", "Channels."),
	subscriptions: describeGauge("subscriptions", "Subscriptions, active, and offline durables.", "state"),
	messages:      describeGauge("messages", "Stored messages of all channels."),
	bytes:         describeGauge("message_bytes", "Bytes of the stored messages of all channels."),
	queued:        describeGauge("queued_publishes", "Published messages that wait for a commit."),
	replayLimit:   describeGauge("replay_limit", "Messages per second that all replays together may send, +Inf while publishers do not notice them."),
	damaged:       describeGauge("damaged_rows", "Rows of the database that were found damaged."),
	channelMessages: describeGauge("channel_messages",
		"Stored messages of a channel. Only the 1000 oldest channels have series of their own.", "channel"),
	channelBytes: describeGauge("channel_message_bytes", "Bytes of the stored messages of a channel.", "channel"),
	channelLast:  describeGauge("channel_last_sequence", "Sequence of the last message of a channel.", "channel"),
	lagMessages: describeGauge("lag_messages",
		"Messages that a durable or queue group was not sent or has not acknowledged.", groupLabels...),
	lagSeconds: describeGauge("lag_seconds",
		"Age of the first message that a durable or queue group has not acknowledged, 0 if there is none.", groupLabels...),
	relayLagMessages: describeGauge("relay_lag_messages",
		"Messages of an event channel that its relay to a stream has still to look at.", "channel", "stream"),
	relayLagSeconds: describeGauge("relay_lag_seconds", "Age of the first of them, 0 if there is none.", "channel", "stream"),
	relayFailing:    describeGauge("relay_failing", "1 while a relay waits after an error, 0 while it works.", "stream"),
	relayPublished:  describeGauge("relay_published_total", "Events that a stream acknowledged.", "stream"),
	relayFailures:   describeGauge("relay_failures_total", "Attempts to relay that ended with an error.", "stream"),
}

// groupLabels name a group as /streaming/channelsz does. client_id and durable_name are those of a plain durable; a
// queue group has only queue_name, "durable:group" if it is durable.
var groupLabels = []string{"channel", "client_id", "durable_name", "queue_name"}

// gauges is the collector of what is in memory at the time of a scrape.
type gauges struct{ monitor *Monitor }

// Describe says nothing: what there is depends on the state of the server.
func (c *gauges) Describe(chan<- *prometheus.Desc) {}

// Collect never waits for the database.
func (c *gauges) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		for i := range labels {
			// Names come from clients, who may send any bytes. One that is no text must not spoil the scrape, and two
			// must not become the same series.
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
	_, t := m.now()
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
				continue // it has no name that outlives it
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

// oldestChannels returns all channels, by age.
func (t *Term) oldestChannels() []*eventlog.Channel {
	all := slices.Clone(t.channels())
	slices.SortFunc(all, func(a, b *eventlog.Channel) int { return cmp.Compare(a.Stored().ID(), b.Stored().ID()) })
	return all
}
