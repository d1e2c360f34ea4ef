package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A projector and a reactor that run tell by OpenTelemetry how far they are; one that stands by tells only that.
func TestProjectionMetrics(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	s.deposit(s.accounts(), "a", 5)
	db, dialect := s.readModel()
	reader := metric.NewManualReader()
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	p := totals(t, db, dialect, "totals", s.client().Source(channel, eventstore.Filter{}))
	p.MeterProvider = meters
	stop := running(t, p.Run)
	// Position, lag, delay, leader and the counters, each "name kind metric value".
	metrics := func(name string) func() string {
		return func() string {
			var all metricdata.ResourceMetrics
			if err := reader.Collect(t.Context(), &all); err != nil {
				t.Fatal(err)
			}
			var lines []string
			add := func(metric string, attributes attribute.Set, value any) {
				of, _ := attributes.Value("name")
				kind, _ := attributes.Value("kind")
				if of.AsString() == name {
					lines = append(lines, fmt.Sprint(kind.AsString(), " ", strings.TrimPrefix(metric, "eventstore.projection."), " ", value))
				}
			}
			for _, scope := range all.ScopeMetrics {
				for _, m := range scope.Metrics {
					switch data := m.Data.(type) {
					case metricdata.Gauge[int64]:
						for _, point := range data.DataPoints {
							add(m.Name, point.Attributes, point.Value)
						}
					case metricdata.Gauge[float64]:
						for _, point := range data.DataPoints {
							add(m.Name, point.Attributes, point.Value)
						}
					case metricdata.Sum[int64]:
						for _, point := range data.DataPoints {
							add(m.Name, point.Attributes, point.Value)
						}
					}
				}
			}
			slices.Sort(lines)
			return strings.Join(lines, ", ")
		}
	}
	eventually(t, "projector applied 6, projector delay 0, projector lag 0, projector leader 1, projector parked 0, projector position 6, projector skipped 0", metrics("totals"))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := metrics("totals")(); strings.Contains(got, "position") || strings.Contains(got, "leader") {
		t.Errorf("after its end: %s", got)
	}
	r := &eventstore.Reactor{Name: "mail", DB: db, Dialect: dialect, MeterProvider: meters, Handle: func(context.Context, *eventstore.Event) error { return nil }}
	run := func() func() error {
		return running(t, func(ctx context.Context) error { return r.Run(ctx, s.client().SourceAll(eventstore.Query{})) })
	}
	stop = run()
	eventually(t, "reactor applied 6, reactor delay 0, reactor lag 0, reactor leader 1, reactor parked 0, reactor position 6, reactor skipped 0", metrics("mail"))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// One that fails tells so, and how far it is behind.
	r = &eventstore.Reactor{Name: "failing", DB: db, Dialect: dialect, MeterProvider: meters, Handle: func(context.Context, *eventstore.Event) error { return errors.New("no") }}
	stop = run()
	eventually(t, "lag 6, failures true", func() string {
		lag, failed := "none", false
		for _, line := range strings.Split(metrics("failing")(), ", ") {
			if n, found := strings.CutPrefix(line, "reactor lag "); found {
				lag = n
			}
			failed = failed || strings.HasPrefix(line, "reactor failed ")
		}
		return fmt.Sprintf("lag %s, failures %t", lag, failed)
	})
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r = &eventstore.Reactor{Name: "mail", DB: db, Dialect: dialect, MeterProvider: meters, Handle: func(context.Context, *eventstore.Event) error { return nil }}
	if _, err := db.ExecContext(patient(t), "UPDATE eventstore_checkpoints SET holder = 'another', held_until = held_until + 9000000000000000 WHERE name = 'mail'"); err != nil {
		t.Fatal(err)
	}
	defer run()() //nolint:errcheck // ends with the test
	eventually(t, "reactor applied 6, reactor leader 0, reactor parked 0, reactor skipped 0", metrics("mail"))
}
