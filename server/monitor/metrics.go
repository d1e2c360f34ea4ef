package monitor

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// metricsPrefix begins the name of every metric of ours.
const metricsPrefix = "nats_streaming_"

// Metrics counts what one Run does. It has its own registry, so that nothing is global.
type Metrics struct {
	registry *prometheus.Registry

	received, receivedBytes atomic.Uint64 // publish requests
	stored                  atomic.Uint64 // messages committed
	duplicates              atomic.Uint64 // events acknowledged as already stored
	routed                  atomic.Uint64 // copies of events committed to other channels
	acks                    atomic.Uint64 // messages acknowledged by subscribers
	slowed                  atomic.Uint64 // waits for the rate of redeliveries
	limited                 *prometheus.CounterVec
	delivered, redelivered  atomic.Uint64 // messages sent for the first time, and redeliveries
	sentBytes               atomic.Uint64 // of both
	replayed                atomic.Uint64 // messages read from the database for subscribers

	refusals *refusals
	erasures erasures

	errors        *prometheus.CounterVec
	apiRequests   *prometheus.CounterVec
	connections   *prometheus.CounterVec
	certificates  *prometheus.GaugeVec
	commitSeconds prometheus.Histogram
	commitMsgs    prometheus.Histogram
}

func newMetrics(log *slog.Logger) *Metrics {
	m := &Metrics{
		refusals: newRefusals(log),
		erasures: newErasures(),
		registry: prometheus.NewRegistry(),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "errors_total",
			Help: "Requests refused and operations failed, by operation and kind of error.",
		}, []string{"operation", "kind"}),
		apiRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "api_requests_total",
			Help: "Finished requests of the gRPC and HTTP API, by method and code.",
		}, []string{"method", "code"}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "refused_connections_total",
			Help: "Connections closed because too many were open, by port.",
		}, []string{"port"}),
		certificates: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: metricsPrefix + "certificate_expiry_timestamp_seconds",
			Help: "When the TLS certificate expires, by port: nats, which monitoring shares, or api.",
		}, []string{"port"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "limited_messages_total",
			Help: "Messages at the limit of their deliveries, or rejected, by what was done: park, skip or stall.",
		}, []string{"action"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    metricsPrefix + "commit_duration_seconds",
			Help:    "Time to commit one batch of published messages.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17), // 0.1 ms to 6.5 s
		}),
		commitMsgs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    metricsPrefix + "commit_batch_messages",
			Help:    "Published messages in one batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13), // 1 to 4096
		}),
	}
	for operation, kinds := range errorSeries {
		for _, kind := range kinds {
			m.errors.WithLabelValues(operation, kind)
		}
	}
	for _, action := range []string{consumers.LimitPark, consumers.LimitSkip, consumers.LimitStall} {
		m.limited.WithLabelValues(action)
	}
	m.registry.MustRegister(m.erasures.open, m.erasures.erased, m.erasures.waits, m.limited, m.errors, m.apiRequests, m.connections, m.certificates, m.commitSeconds, m.commitMsgs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, it := range []struct {
		name, help string
		value      *atomic.Uint64
	}{
		{"received_messages_total", "Publish requests received.", &m.received},
		{"received_bytes_total", "Bytes of the publish requests received.", &m.receivedBytes},
		{"stored_messages_total", "Published messages committed to the database.", &m.stored},
		{"routed_messages_total", "Copies of events committed to the channels of routes.", &m.routed},
		{"duplicate_messages_total", "Events acknowledged without a commit, since they were already stored.", &m.duplicates},
		{"acks_total", "Messages acknowledged by subscribers.", &m.acks},
		{"slowed_redeliveries_total", "Times that a group waited with redeliveries for the rate that all groups share.", &m.slowed},
		{"delivered_messages_total", "Messages sent to subscribers for the first time.", &m.delivered},
		{"redelivered_messages_total", "Messages sent to subscribers again.", &m.redelivered},
		{"sent_bytes_total", "Bytes sent to subscribers, redeliveries included.", &m.sentBytes},
		{"replayed_messages_total", "Messages read for subscribers from the database rather than from memory.", &m.replayed},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: metricsPrefix + it.name, Help: it.help},
			func() float64 { return float64(it.value.Load()) }))
	}
	return m
}

// handler serves scrapes. If one metric fails, it still serves the others.
func (m *Metrics) handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      scrapeLog{log},
	})
}

// scrapeLog adapts the logger to the Prometheus library.
type scrapeLog struct{ log *slog.Logger }

func (l scrapeLog) Println(v ...any) {
	l.log.Error("Failed to collect metrics", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}

// PublishReceived counts a publish request.
func (m *Metrics) PublishReceived(bytes int) {
	m.received.Add(1)
	m.receivedBytes.Add(uint64(bytes))
}

// Committed counts a batch and what was stored of it.
func (m *Metrics) Committed(took time.Duration, results []stores.Result) {
	if len(results) == 0 {
		return
	}
	m.commitSeconds.Observe(took.Seconds())
	m.commitMsgs.Observe(float64(len(results)))
	var stored, duplicates uint64
	for i := range results {
		switch {
		case results[i].Err != nil: // counted by whoever answers it
		case results[i].Duplicate:
			duplicates++
		default:
			stored++
			m.routed.Add(uint64(len(results[i].Copies)))
		}
	}
	m.stored.Add(stored)
	m.duplicates.Add(duplicates)
}

// Sent counts messages sent for the first time.
func (m *Metrics) Sent(msgs, bytes int) {
	m.delivered.Add(uint64(msgs))
	m.sentBytes.Add(uint64(bytes))
}

// Resent counts a redelivered message.
func (m *Metrics) Resent(bytes int) {
	m.redelivered.Add(1)
	m.sentBytes.Add(uint64(bytes))
}

// Acked counts a message that a subscriber acknowledged.
func (m *Metrics) Acked() { m.acks.Add(1) }

// Limited counts a message at the limit of its deliveries, or rejected, by what was done with it.
func (m *Metrics) Limited(action string) { m.limited.WithLabelValues(action).Inc() }

// Slowed counts that a group waited for the rate of redeliveries.
func (m *Metrics) Slowed() { m.slowed.Add(1) }

// Replayed counts messages read from the database.
func (m *Metrics) Replayed(messages int) { m.replayed.Add(uint64(messages)) }

// Failed counts an error of an operation of the server itself: delivery (reads for subscribers), progress (writes of
// subscription state), retention (enforcing limits), lease (renewals) and head (of the chain).
func (m *Metrics) Failed(operation string, err error) {
	m.errors.WithLabelValues(operation, errorKind(err)).Inc()
}

// Refused counts a refused request, and tells of it. Clients of NATS Streaming request publish, connect, subscription,
// close and ping, those of the API append, read, subscribe, admin and, without a method, request. client and channel are what is known of them.
func (m *Metrics) Refused(operation, client, channel string, err error) {
	kind := errorKind(err)
	m.errors.WithLabelValues(operation, kind).Inc()
	m.refusals.tell(operation, kind, client, channel, err)
}

// ConnectionRefused returns a function that counts a connection closed because too many were open on a port.
func (m *Metrics) ConnectionRefused(port string) func() {
	return m.connections.WithLabelValues(port).Inc
}

// Certificate tells when the first certificate of a port expires. A nil configuration, for a port without TLS, has none.
func (m *Metrics) Certificate(port string, c *tls.Config) {
	if c != nil && len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil {
		m.certificates.WithLabelValues(port).Set(float64(c.Certificates[0].Leaf.NotAfter.Unix()))
	}
}

// APIRequests counts n requests of the API. With n 0 it makes the series exist.
func (m *Metrics) APIRequests(procedure, code string, n int) {
	m.apiRequests.WithLabelValues(strings.TrimPrefix(procedure, "/"), code).Add(float64(n))
}
