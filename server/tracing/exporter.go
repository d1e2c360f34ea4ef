package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// exporter sends spans, and writes a line to the log when that begins to fail and when it works again.
type exporter struct {
	sdk.SpanExporter
	endpoint string
	log      *slog.Logger
	failing  atomic.Bool
	dropped  atomic.Int64 // spans since it failed
}

func newExporter(ctx context.Context, o Options, log *slog.Logger) (*exporter, error) {
	client := otlptracehttp.NewClient()
	if o.protocol == protocolGRPC {
		client = otlptracegrpc.NewClient()
	}
	to, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return &exporter{SpanExporter: to, endpoint: o.endpoint, log: log}, nil
}

// ExportSpans implements sdk.SpanExporter. Its error is logged here, so that it returns none.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err == nil:
		if e.failing.CompareAndSwap(true, false) {
			e.log.Info("Traces reach the collector again", "endpoint", e.endpoint, "dropped_spans", e.dropped.Swap(0))
		}
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer in time: %w", err)
	}
	e.dropped.Add(int64(len(spans)))
	if !e.failing.Swap(true) {
		e.log.Warn("Traces do not reach the collector; spans are dropped until they do", "endpoint", e.endpoint, "error", strings.TrimSpace(err.Error()))
	}
	return nil
}
