package eventstore

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meterName is the instrumentation scope of the library's metrics.
const meterName = "github.com/nats-eventstore/nats-eventstore/client"

// gauges are the metrics of a projector or reactor that runs.
type gauges struct {
	labels                                        metric.MeasurementOption
	applied, skipped, parkedEvents, failedAttempt metric.Int64Counter
	registration                                  metric.Registration

	mu         sync.Mutex // guards the fields below
	leading    bool
	checkpoint Checkpoint
	logEnd     uint64
}

func newGauges(provider metric.MeterProvider, name, kind string) (*gauges, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := provider.Meter(meterName)
	g := &gauges{labels: metric.WithAttributes(attribute.String("name", name), attribute.String("kind", kind))}
	var failed error
	counter := func(name, unit, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
		if err != nil {
			failed = err
		}
		return c
	}
	g.applied = counter("eventstore.projection.applied", "{event}", "Events applied, or handled by a reactor.")
	g.skipped = counter("eventstore.projection.skipped", "{event}", "Events skipped, by a decision or because their type is unknown.")
	g.parkedEvents = counter("eventstore.projection.parked", "{event}", "Events parked.")
	g.failedAttempt = counter("eventstore.projection.failed", "{attempt}", "Attempts that failed.")
	gauge := func(name, unit, what string) metric.Int64ObservableGauge {
		o, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		if err != nil {
			failed = err
		}
		return o
	}
	position := gauge("eventstore.projection.position", "{event}", "Sequence or position up to which everything is applied.")
	lag := gauge("eventstore.projection.lag", "{event}", "Events that the log is ahead, as last known.")
	leader := gauge("eventstore.projection.leader", "1", "1 while this replica holds the lease.")
	seconds, err := m.Float64ObservableGauge("eventstore.projection.delay", metric.WithUnit("s"), metric.WithDescription("Age of the last applied event, 0 if there is none after it."))
	if failed == nil {
		failed = err
	}
	if failed != nil {
		return nil, failed
	}
	g.registration, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.leading {
			o.ObserveInt64(leader, 0, g.labels)
			return nil
		}
		o.ObserveInt64(leader, 1, g.labels)
		o.ObserveInt64(position, int64(g.checkpoint.Place), g.labels)
		behind, age := int64(0), 0.0
		if g.logEnd > g.checkpoint.Place {
			behind, age = int64(g.logEnd-g.checkpoint.Place), delay(g.checkpoint).Seconds()
		}
		o.ObserveInt64(lag, behind, g.labels)
		o.ObserveFloat64(seconds, age, g.labels)
		return nil
	}, position, lag, leader, seconds)
	return g, err
}

func (g *gauges) close() { _ = g.registration.Unregister() } // it never fails for a callback that is registered

func (g *gauges) lead(leading bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leading = leading
}

// at tells the checkpoint.
func (g *gauges) at(c Checkpoint) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checkpoint = c
}

// end tells where the log ends.
func (g *gauges) end(place uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logEnd = place
}

// caughtUp tells that the log ends at the checkpoint.
func (g *gauges) caughtUp(c Checkpoint) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checkpoint, g.logEnd = c, c.Place
}

func (g *gauges) count(ctx context.Context, n outcomes) {
	g.applied.Add(ctx, n.applied, g.labels)
	g.skipped.Add(ctx, n.skipped, g.labels)
	g.parkedEvents.Add(ctx, n.parked, g.labels)
}

// failed counts an attempt that failed, unless there are no metrics.
func (g *gauges) failed(ctx context.Context) {
	if g != nil {
		g.failedAttempt.Add(ctx, 1, g.labels)
	}
}

// watch asks where the log ends until stop is called, so that a reactor that has not caught up tells its lag, also while it handles an event.
func (g *gauges) watch(ctx context.Context, log LogSource) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(endEvery)
		defer ticker.Stop()
		for {
			if end, err := log.End(ctx); err == nil { // otherwise what is known stays
				g.end(end)
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
