package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// stopTimeout bounds how long Stop waits for the collector.
const stopTimeout = 2 * time.Second

// Tracer records spans. Its methods may be called at the same time.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	database attribute.KeyValue
	recent   *recent
}

// Service describes the server to the collector.
type Service struct {
	Name       string // unless the environment names another
	Version    string
	InstanceID string
	Driver     string // of the database
}

// New returns a tracer, or nil if the options turn tracing off. It does not wait for the collector. Call Stop at the end.
func New(ctx context.Context, o Options, s Service, log *slog.Logger) (*Tracer, error) {
	if !o.Enabled() {
		return nil, nil
	}
	// What the library has to say goes to the log: errors as they are, the rest only at debug and trace level.
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("Traces: " + err.Error()) }))
	e, err := newExporter(ctx, o, log)
	if err != nil {
		return nil, err
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(s.Name), semconv.ServiceVersion(s.Version), semconv.ServiceInstanceID(s.InstanceID)),
		resource.WithFromEnv(), // the last one counts
	)
	if err != nil {
		return nil, fmt.Errorf("environment variable OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(e), sdk.WithSampler(batches{o.sampler}), sdk.WithResource(described))
	log.Info("Traces go to the collector", "endpoint", o.endpoint, "protocol", o.protocol)
	return &Tracer{
		provider: provider,
		tracer:   provider.Tracer("github.com/nats-eventstore/nats-eventstore", trace.WithInstrumentationVersion(s.Version), trace.WithSchemaURL(semconv.SchemaURL)),
		database: databaseOf(s.Driver),
		recent:   newRecent(recentPublishes),
	}, nil
}

// Stop sends what was recorded, for two seconds at most.
func (t *Tracer) Stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the exporter has logged what fails; spans are lost with the process
}

// batches takes every batch, which links to sampled messages, and leaves the rest to another sampler.
type batches struct{ sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (s batches) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if len(p.Links) > 0 && !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return s.Sampler.ShouldSample(p)
}

// parentOf returns the context of a trace that somebody else began.
func parentOf(c proto.TraceContext) trace.SpanContext {
	if c.Parent == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": c.Parent, "tracestate": c.State}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// start begins a span, as a child of parent if that is valid.
func (t *Tracer) start(parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time, options ...trace.SpanStartOption) trace.Span {
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	_, span := t.tracer.Start(ctx, name, append(options, trace.WithSpanKind(kind), trace.WithTimestamp(at))...)
	return span
}

// fail marks a span as failed.
func fail(span trace.Span, err error) {
	span.SetStatus(codes.Error, printable.Line(err.Error()))
}

// named returns an attribute whose value clients chose: OTLP takes only valid UTF-8.
func named(key attribute.Key, value string) attribute.KeyValue {
	return key.String(printable.Line(value))
}

// databaseOf returns the attribute that names a database.
func databaseOf(driver string) attribute.KeyValue {
	switch driver {
	case "postgres":
		return semconv.DBSystemNamePostgreSQL
	case "mysql":
		return semconv.DBSystemNameMySQL
	}
	return semconv.DBSystemNameSQLite
}
