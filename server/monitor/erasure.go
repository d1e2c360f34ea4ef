package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// erasures are the metrics of erased events.
type erasures struct {
	open   *prometheus.GaugeVec
	erased *prometheus.CounterVec
	waits  prometheus.Histogram
}

func newErasures() erasures {
	e := erasures{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: metricsPrefix + "open_erasures",
			Help: "Erasures that are not done, by state: pending, nothing is erased yet; erased, streams or readers have not been told.",
		}, []string{"state"}),
		erased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "erased_messages_total",
			Help: "Messages that were erased, by kind: event, or copy on another channel.",
		}, []string{"kind"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    metricsPrefix + "erasure_wait_seconds",
			Help:    "Time for which publishers waited while an erasure replaced events.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14), // 10 ms to 82 s
		}),
	}
	for _, kind := range []string{"event", "copy"} {
		e.erased.WithLabelValues(kind)
	}
	return e
}

// Erased implements eventlog.ErasureMetrics.
func (m *Metrics) Erased(events, copies uint64, waited time.Duration) {
	m.erasures.erased.WithLabelValues("event").Add(float64(events))
	m.erasures.erased.WithLabelValues("copy").Add(float64(copies))
	m.erasures.waits.Observe(waited.Seconds())
}

// OpenErasures implements eventlog.ErasureMetrics.
func (m *Metrics) OpenErasures(pending, untold int) {
	m.erasures.open.WithLabelValues("pending").Set(float64(pending))
	m.erasures.open.WithLabelValues("erased").Set(float64(untold))
}

// NoErasures implements eventlog.ErasureMetrics.
func (m *Metrics) NoErasures() { m.erasures.open.Reset() }
