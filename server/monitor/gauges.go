package monitor

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

func describeGauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

// gaugeDescs describes the gauges that a scrape computes; metrics holds the counters.
var gaugeDescs = struct {
	info, active, standbyReads, standbyPosition, staleness, connected, leaseAge, clockBehind, clients, channels, subscriptions, messages, bytes, queued,
	publishMemory, publishMemoryLimit, replayLimit, damaged, channelMessages, channelBytes, channelLast, lagMessages, lagSeconds,
	parked, waiting, stalledSeconds, paused, otherParked, otherStalledSeconds,
	otherChannels, otherChannelMessages, otherChannelBytes, otherGroups, otherLagMessages, otherLagSeconds,
	relayLagMessages, relayLagSeconds, relayFailing, relayPublished, relayFailures,
	relayOtherChannels, relayOtherLagMessages, relayOtherLagSeconds *prometheus.Desc
}{
	info:            describeGauge("info", "1; what this server is.", "cluster_id", "server_id", "version"),
	active:          describeGauge("active", "1 while this server serves clients, 0 while it starts or is a standby."),
	standbyReads:    describeGauge("standby_reads", "1 while this server serves reads as a standby, 0 otherwise."),
	standbyPosition: describeGauge("standby_position", "Position of the last event that this standby knows."),
	staleness:       describeGauge("standby_staleness_seconds", "Time since this standby, which serves reads, saw the database."),
	connected:       describeGauge("connected", "1 while this server is connected to NATS, 0 otherwise."),
	leaseAge:        describeGauge("lease_age_seconds", "Time since the database confirmed that this server holds the lease."),
	clockBehind:     describeGauge("clock_behind_seconds", "How far the clock is behind the last message of any channel, 0 if it is not."),
	clients:         describeGauge("clients", "Registered clients."),
	channels:        describeGauge("channels", "Channels."),
	subscriptions:   describeGauge("subscriptions", "Subscriptions by state: active, or offline durables.", "state"),
	messages:        describeGauge("messages", "Stored messages in all channels."),
	bytes:           describeGauge("message_bytes", "Bytes of the stored messages in all channels."),
	queued:          describeGauge("queued_publishes", "Published messages that are waiting for a commit."),
	publishMemory:   describeGauge("publish_memory_bytes", "Bytes of unanswered messages and requests in memory."),
	publishMemoryLimit: describeGauge("publish_memory_limit_bytes",
		"Bound of publish_memory_bytes: -publish_memory."),
	replayLimit: describeGauge("replay_limit", "Messages per second that all replays together may send; +Inf while replays do not slow publishers down."),
	damaged:     describeGauge("damaged_rows", "Database rows found damaged."),
	channelMessages: describeGauge("channel_messages",
		"Stored messages in a channel. Only the oldest channels have their own series: see nats_streaming_other_channels.", "channel"),
	channelBytes: describeGauge("channel_message_bytes", "Bytes of the stored messages in a channel.", "channel"),
	channelLast:  describeGauge("channel_last_sequence", "Sequence of the last message in a channel.", "channel"),
	lagMessages: describeGauge("lag_messages",
		"Messages not yet sent to a durable or queue group, or not acknowledged by it.", groupLabels...),
	lagSeconds: describeGauge("lag_seconds",
		"Age of the first message that a durable or queue group has not acknowledged, 0 without one.", groupLabels...),
	parked:               describeGauge("parked_messages", "Messages parked for a durable or queue group.", groupLabels...),
	waiting:              describeGauge("waiting_messages", "Messages of a durable or queue group that wait behind another one of their key, for their time, or to be sent again.", groupLabels...),
	stalledSeconds:       describeGauge("stalled_seconds", "Time since a durable or queue group stalled at a message that reached its limit of deliveries, 0 if it has not.", groupLabels...),
	paused:               describeGauge("paused", "1 while a durable or queue group is paused, 0 otherwise.", groupLabels...),
	otherParked:          describeGauge("other_parked_messages", "Sum of parked_messages over the durables and queue groups without series of their own."),
	otherStalledSeconds:  describeGauge("other_stalled_seconds", "Greatest stalled_seconds of the durables and queue groups without series of their own."),
	otherChannels:        describeGauge("other_channels", "Channels without series of their own, beyond -metrics_series."),
	otherChannelMessages: describeGauge("other_channel_messages", "Stored messages in the channels without series of their own."),
	otherChannelBytes:    describeGauge("other_channel_message_bytes", "Bytes of the stored messages in the channels without series of their own."),
	otherGroups:          describeGauge("other_groups", "Durables and queue groups without series of their own, beyond -metrics_series."),
	otherLagMessages:     describeGauge("other_lag_messages", "Sum of lag_messages over the durables and queue groups without series of their own."),
	otherLagSeconds:      describeGauge("other_lag_seconds", "Greatest lag_seconds of the durables and queue groups without series of their own."),
	relayLagMessages: describeGauge("relay_lag_messages",
		"Messages of an event channel that a relay has not yet processed.", "channel", "stream"),
	relayLagSeconds: describeGauge("relay_lag_seconds", "Age of the first message that a relay has not yet processed, 0 without one.", "channel", "stream"),
	relayFailing:    describeGauge("relay_failing", "1 while a relay waits after an error, 0 otherwise.", "stream"),
	relayPublished:  describeGauge("relay_published_total", "Events acknowledged by a stream.", "stream"),
	relayFailures:   describeGauge("relay_failures_total", "Relay attempts that ended with an error.", "stream"),
	relayOtherChannels: describeGauge("relay_other_channels",
		"Channels of a relay without series of their own, beyond -metrics_series.", "stream"),
	relayOtherLagMessages: describeGauge("relay_other_lag_messages",
		"Sum of relay_lag_messages over the channels without series of their own.", "stream"),
	relayOtherLagSeconds: describeGauge("relay_other_lag_seconds",
		"Greatest relay_lag_seconds of the channels without series of their own.", "stream"),
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
	m := c.monitor
	_, t := m.current()
	out := series(to)
	out.gauge(gaugeDescs.info, 1, m.opts.ClusterID, m.opts.ServerID, m.opts.Version)
	following := 0.0
	if f := m.follower(); f != nil {
		following = 1
		position, age := f.Behind()
		out.gauge(gaugeDescs.standbyPosition, float64(position))
		out.gauge(gaugeDescs.staleness, age.Seconds())
	}
	out.gauge(gaugeDescs.standbyReads, following)
	if t == nil {
		out.gauge(gaugeDescs.active, 0)
		return
	}
	out.gauge(gaugeDescs.active, 1)
	connected := 0.0
	if t.Connected() {
		connected = 1
	}
	out.gauge(gaugeDescs.connected, connected)
	out.gauge(gaugeDescs.leaseAge, t.LeaseAge().Seconds())
	out.gauge(gaugeDescs.clients, float64(len(t.clients())))
	_, damaged := t.damagedRows()
	out.gauge(gaugeDescs.damaged, float64(damaged))
	out.gauge(gaugeDescs.queued, float64(t.Clients.Unanswered()))
	out.gauge(gaugeDescs.publishMemory, float64(t.Log.Admission().Held()))
	out.gauge(gaugeDescs.publishMemoryLimit, float64(t.Log.Admission().Max()))
	out.gauge(gaugeDescs.replayLimit, t.Log.ReplayLimit())
	channels := t.oldestChannels()
	c.channels(out, channels)
	c.groups(out, t, channels)
	c.relays(out, t)
}

// channels sends the series of the oldest channels, and what the others have together.
func (c *gauges) channels(out series, channels []*eventlog.Channel) {
	var all, others stores.ChannelInfo
	var newest int64
	for i, ch := range channels {
		info := ch.Info()
		newest = max(newest, info.LastTime)
		all.Msgs += info.Msgs
		all.Bytes += info.Bytes
		if i >= c.monitor.opts.Series {
			others.Msgs += info.Msgs
			others.Bytes += info.Bytes
			continue
		}
		out.gauge(gaugeDescs.channelMessages, float64(info.Msgs), ch.Name())
		out.gauge(gaugeDescs.channelBytes, float64(info.Bytes), ch.Name())
		out.gauge(gaugeDescs.channelLast, float64(info.Last), ch.Name())
	}
	out.gauge(gaugeDescs.clockBehind, max(0, time.Duration(newest-time.Now().UnixNano()).Seconds()))
	out.gauge(gaugeDescs.channels, float64(len(channels)))
	out.gauge(gaugeDescs.messages, float64(all.Msgs))
	out.gauge(gaugeDescs.bytes, float64(all.Bytes))
	out.gauge(gaugeDescs.otherChannels, float64(max(0, len(channels)-c.monitor.opts.Series)))
	out.gauge(gaugeDescs.otherChannelMessages, float64(others.Msgs))
	out.gauge(gaugeDescs.otherChannelBytes, float64(others.Bytes))
}

// namedGroup is a durable or a queue group.
type namedGroup struct {
	*consumers.Group
	channel consumers.Line
	id      uint64
	consumers.Backlog
}

// groups sends the series of the oldest durables and queue groups, and what the others have together.
func (c *gauges) groups(out series, t *Term, channels []*eventlog.Channel) {
	active, offline := 0, 0
	for _, l := range t.lines(channels) {
		for _, g := range t.groups(l) {
			a, o := g.Size()
			active, offline = active+a, offline+o
		}
	}
	out.gauge(gaugeDescs.subscriptions, float64(active), "active")
	out.gauge(gaugeDescs.subscriptions, float64(offline), "offline")
	all := t.Consumers.List()
	c.settings(out, all)
	var named []namedGroup
	for _, d := range all {
		if d.Group != nil {
			named = append(named, namedGroup{d.Group, d.Group.Line(), ageOf(d), d.Backlog})
		}
	}
	slices.SortFunc(named, func(a, b namedGroup) int { return cmp.Compare(a.id, b.id) })
	own := min(c.monitor.opts.Series, len(named))
	now, lags := time.Now(), c.monitor.lags
	exist := make(map[*consumers.Group]struct{}, len(named))
	for _, g := range named[:own] {
		exist[g.Group] = struct{}{}
		key := g.Key()
		labels := []string{g.channel.Name(), key.Client, key.Durable, key.Queue}
		out.gauge(gaugeDescs.lagMessages, float64(g.Msgs), labels...)
		out.gauge(gaugeDescs.lagSeconds, lags.seconds(now, g), labels...)
	}
	var sum uint64
	// Timestamps do not decrease along a line, but for events numbered late: of the others, one in each channel waits longest.
	longest := make(map[consumers.Line]namedGroup)
	for _, g := range named[own:] {
		exist[g.Group] = struct{}{}
		sum += g.Msgs
		if l, ok := longest[g.channel]; g.First > 0 && (!ok || g.First < l.First) {
			longest[g.channel] = g
		}
	}
	oldest := 0.0
	for _, g := range longest {
		oldest = max(oldest, lags.seconds(now, g))
	}
	out.gauge(gaugeDescs.otherGroups, float64(len(named)-own))
	out.gauge(gaugeDescs.otherLagMessages, float64(sum))
	out.gauge(gaugeDescs.otherLagSeconds, oldest)
	lags.forget(func(g *consumers.Group) bool {
		_, ok := exist[g]
		return ok
	})
}

// ageOf returns a number that is lower for older consumers.
func ageOf(d consumers.Description) uint64 {
	if d.Group == nil {
		return math.MaxUint64
	}
	return cmp.Or(d.Group.ID(), math.MaxUint64) // without an ID it is the newest
}

// settings sends the series that only consumers with settings, parked or waiting messages have: those of the oldest, and what the
// others have together.
func (c *gauges) settings(out series, all []consumers.Description) {
	var special []consumers.Description
	for _, d := range all {
		if d.Parked > 0 || d.Waiting > 0 || d.Effective != (consumers.Settings{}) {
			special = append(special, d)
		}
	}
	slices.SortStableFunc(special, func(a, b consumers.Description) int { return cmp.Compare(ageOf(a), ageOf(b)) })
	now, parked, stalled := time.Now(), 0, 0.0
	for i, d := range special {
		since := 0.0
		if d.StalledAt > 0 {
			since = max(now.Sub(d.StalledSince).Seconds(), math.SmallestNonzeroFloat64)
		}
		if i >= c.monitor.opts.Series {
			parked, stalled = parked+d.Parked, max(stalled, since)
			continue
		}
		paused := 0.0
		if d.Effective.Paused != nil && *d.Effective.Paused {
			paused = 1
		}
		labels := []string{d.Name.Line, d.Name.Client, d.Name.Name, ""}
		if d.Name.Client == "" {
			labels[2], labels[3] = "", d.Name.Name
		}
		out.gauge(gaugeDescs.parked, float64(d.Parked), labels...)
		out.gauge(gaugeDescs.waiting, float64(d.Waiting), labels...)
		out.gauge(gaugeDescs.stalledSeconds, since, labels...)
		out.gauge(gaugeDescs.paused, paused, labels...)
	}
	out.gauge(gaugeDescs.otherParked, float64(parked))
	out.gauge(gaugeDescs.otherStalledSeconds, stalled)
}

// relays sends the series of relays and of their first channels, and what the other channels of each have together.
func (c *gauges) relays(out series, t *Term) {
	for _, r := range t.Relays {
		failing := 0.0
		if r.Failing() {
			failing = 1
		}
		out.gauge(gaugeDescs.relayFailing, failing, r.Stream)
		out.counter(gaugeDescs.relayPublished, float64(r.Published()), r.Stream)
		out.counter(gaugeDescs.relayFailures, float64(r.Failures()), r.Stream)
		lags := r.Lags()
		own := min(c.monitor.opts.Series, len(lags))
		for _, l := range lags[:own] {
			out.gauge(gaugeDescs.relayLagMessages, float64(l.Messages), l.Channel, r.Stream)
			out.gauge(gaugeDescs.relayLagSeconds, l.Seconds, l.Channel, r.Stream)
		}
		var others relay.Lag
		for _, l := range lags[own:] {
			others.Messages += l.Messages
			others.Seconds = max(others.Seconds, l.Seconds)
		}
		out.gauge(gaugeDescs.relayOtherChannels, float64(len(lags)-own), r.Stream)
		out.gauge(gaugeDescs.relayOtherLagMessages, float64(others.Messages), r.Stream)
		out.gauge(gaugeDescs.relayOtherLagSeconds, others.Seconds, r.Stream)
	}
}

// series takes the series of a scrape.
type series chan<- prometheus.Metric

func (s series) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.send(d, prometheus.GaugeValue, v, labels)
}

func (s series) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.send(d, prometheus.CounterValue, v, labels)
}

func (s series) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels []string) {
	labels = slices.Clone(labels)
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
	s <- m
}

// oldestChannels returns all channels, oldest first.
func (t *Term) oldestChannels() []*eventlog.Channel {
	all := slices.Clone(t.channels())
	slices.SortFunc(all, func(a, b *eventlog.Channel) int { return cmp.Compare(a.Stored().ID(), b.Stored().ID()) })
	return all
}
