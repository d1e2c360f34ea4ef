package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go/pb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// metricsPrefix begins the name of every metric of ours.
const metricsPrefix = "nats_streaming_"

// metrics counts what one Run does. Its registry is its own: nothing here is global.
type metrics struct {
	registry *prometheus.Registry

	received, receivedBytes atomic.Uint64 // publish requests
	stored                  atomic.Uint64 // messages committed
	duplicates              atomic.Uint64 // events acknowledged that were stored before
	routed                  atomic.Uint64 // copies of events committed to other channels
	acks                    atomic.Uint64 // messages acknowledged by subscribers
	delivered, redelivered  atomic.Uint64 // messages sent for the first time, and again
	sentBytes               atomic.Uint64 // of both
	replayed                atomic.Uint64 // messages read from the database for subscribers

	errors        *prometheus.CounterVec
	apiRequests   *prometheus.CounterVec
	commitSeconds prometheus.Histogram
	commitMsgs    prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "errors_total",
			Help: "Requests refused and operations failed, by operation and kind of error.",
		}, []string{"operation", "kind"}),
		apiRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "api_requests_total",
			Help: "Requests of the gRPC and HTTP API that ended, by method and code.",
		}, []string{"method", "code"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    metricsPrefix + "commit_duration_seconds",
			Help:    "Time that the database took to commit one batch of published messages.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17), // 0.1 ms to 6.5 s
		}),
		commitMsgs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    metricsPrefix + "commit_batch_messages",
			Help:    "Published messages in one batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13), // 1 to 4096
		}),
	}
	m.registry.MustRegister(m.errors, m.apiRequests, m.commitSeconds, m.commitMsgs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, it := range []struct {
		name, help string
		value      *atomic.Uint64
	}{
		{"received_messages_total", "Publish requests received.", &m.received},
		{"received_bytes_total", "Bytes of the publish requests received.", &m.receivedBytes},
		{"stored_messages_total", "Published messages committed to the database.", &m.stored},
		{"routed_messages_total", "Copies of events committed to channels of routes.", &m.routed},
		{"duplicate_messages_total", "Events acknowledged without being stored, since they were stored before.", &m.duplicates},
		{"acks_total", "Messages acknowledged by subscribers.", &m.acks},
		{"delivered_messages_total", "Messages sent to subscribers for the first time.", &m.delivered},
		{"redelivered_messages_total", "Messages sent to subscribers again.", &m.redelivered},
		{"sent_bytes_total", "Bytes of the messages sent to subscribers, for the first time and again.", &m.sentBytes},
		{"replayed_messages_total", "Messages read from the database for subscribers, since memory did not have them.", &m.replayed},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: metricsPrefix + it.name, Help: it.help},
			func() float64 { return float64(it.value.Load()) }))
	}
	return m
}

// handler answers a scrape. What can be told is told, even if something cannot.
func (m *metrics) handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      scrapeLog{log},
	})
}

// scrapeLog is the log of the Prometheus library.
type scrapeLog struct{ log *slog.Logger }

func (l scrapeLog) Println(v ...any) {
	l.log.Error("Collecting metrics", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}

// publishReceived counts a publish request.
func (m *metrics) publishReceived(bytes int) {
	m.received.Add(1)
	m.receivedBytes.Add(uint64(bytes))
}

// committed counts a batch and what became of its messages.
func (m *metrics) committed(took time.Duration, results []stores.Result) {
	if len(results) == 0 {
		return
	}
	m.commitSeconds.Observe(took.Seconds())
	m.commitMsgs.Observe(float64(len(results)))
	var stored, duplicates uint64
	for i := range results {
		switch {
		case results[i].Err != nil:
			m.failed(opPublish, results[i].Err)
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

// sent counts messages sent to subscribers for the first time.
func (m *metrics) sent(msgs, bytes int) {
	m.delivered.Add(uint64(msgs))
	m.sentBytes.Add(uint64(bytes))
}

// resent counts a message sent again.
func (m *metrics) resent(bytes int) {
	m.redelivered.Add(1)
	m.sentBytes.Add(uint64(bytes))
}

// The operations of errors_total. The first six are requests of clients.
const (
	opPublish      = "publish"
	opConnect      = "connect"
	opSubscription = "subscription" // subscribe, unsubscribe, close of a subscription: they share their answer
	opClose        = "close"
	opPing         = "ping"
	opDelivery     = "delivery" // reading messages for subscribers
	opProgress     = "progress" // writing the state of subscriptions
	opLease        = "lease"    // renewing the lease
)

// failed counts an error.
func (m *metrics) failed(operation string, err error) {
	m.errors.WithLabelValues(operation, errorKind(err)).Inc()
}

// apiRequest counts a request of the API.
func (m *metrics) apiRequest(procedure, code string) {
	m.apiRequests.WithLabelValues(strings.TrimPrefix(procedure, "/"), code).Inc()
}

// answered counts an answer if it refuses a request other than a publish, whose errors are counted where they arise.
func (m *metrics) answered(answer message) {
	operation, text := "", ""
	switch a := answer.(type) {
	case *pb.ConnectResponse:
		operation, text = opConnect, a.Error
	case *pb.SubscriptionResponse:
		operation, text = opSubscription, a.Error
	case *pb.CloseResponse:
		operation, text = opClose, a.Error
	case *pb.PingResponse:
		operation, text = opPing, a.Error
	}
	if text != "" {
		m.errors.WithLabelValues(operation, textKind(text)).Inc()
	}
}

// The kinds of errors that are not, or not only, in errorKinds.
const (
	kindWrongVersion   = "wrong_version"
	kindChannelDeleted = "channel_deleted"
	kindOther          = "other"
)

// errorKinds are the kinds of errors_total. The first that an error is decides.
var errorKinds = []struct {
	err  error
	kind string
}{
	{stores.ErrOutcomeUnknown, "outcome_unknown"},
	{stores.ErrFenced, "fenced"},
	{stores.ErrUnavailable, "unavailable"},
	{stores.ErrDuplicateEvent, "duplicate_event"},
	{stores.ErrPartlyStored, "duplicate_event"},
	{stores.ErrRefused, "refused"},
	{proto.ErrInvalid, "invalid_event"},
	{errSubjectMismatch, "subject_mismatch"},
	{api.ErrTooLarge, "too_large"},
	{errInvalidConnect, "invalid_request"},
	{errInvalidClientID, "invalid_request"},
	{errInvalidPublish, "invalid_request"},
	{errInvalidSubscribe, "invalid_request"},
	{errInvalidAckWait, "invalid_request"},
	{errInvalidMaxInFlight, "invalid_request"},
	{errInvalidStart, "invalid_request"},
	{errInvalidSubject, "invalid_request"},
	{errDurableColon, "invalid_request"},
	{errInvalidUnsubscribe, "invalid_request"},
	{errInvalidClose, "invalid_request"},
	{errMissingClient, "unknown_client"},
	{errUnknownClient, "unknown_client"},
	{errClientRegistered, "client_registered"},
	{errClientReplaced, "client_replaced"},
	{errTooManyChannels, "limit"},
	{errTooManySubs, "limit"},
	{errChannelDeleted, kindChannelDeleted},
	{errDuplicateDurable, "duplicate_durable"},
	{errUnknownChannel, "unknown_subscription"},
	{errInvalidSub, "unknown_subscription"},
}

func errorKind(err error) string {
	var version *stores.VersionError
	var expectation *stores.ExpectationError
	switch {
	case errors.As(err, &version), errors.As(err, &expectation):
		return kindWrongVersion
	case errors.Is(err, stores.ErrUnknownChannel): // the one that the message was meant for is no more
		return kindChannelDeleted
	}
	for _, it := range errorKinds {
		if errors.Is(err, it.err) {
			return it.kind
		}
	}
	return kindOther
}

// textKind is errorKind of an answer, in which our errors stand verbatim, be it after what was being done.
func textKind(text string) string {
	for _, it := range errorKinds {
		if strings.Contains(text, it.err.Error()) {
			return it.kind
		}
	}
	return kindOther
}
