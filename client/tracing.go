package eventstore

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// tracing makes spans: as an interceptor one for each attempt of a call, and one for each event that is handled.
type tracing struct{ trace.Tracer }

// newTracing returns the tracing of a provider; nil means the global one.
func newTracing(provider trace.TracerProvider) *tracing {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &tracing{provider.Tracer("github.com/nats-eventstore/nats-eventstore/client")}
}

// call begins the span of a call.
func (t *tracing) call(ctx context.Context, spec connect.Spec) (context.Context, trace.Span) {
	name := strings.TrimPrefix(spec.Procedure, "/")
	service, method, _ := strings.Cut(name, "/")
	return t.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rpc.system", "connect_rpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", method)))
}

// end ends a span. The end of a stream, and of a replay that has seen enough, is not an error.
func end(span trace.Span, err error) {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		span.SetStatus(codes.Error, err.Error())
		var failed *connect.Error
		if errors.As(err, &failed) {
			span.SetAttributes(attribute.String("rpc.connect_rpc.error_code", failed.Code().String()))
		}
	}
	span.End()
}

// WrapUnary implements connect.Interceptor.
func (t *tracing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, span := t.call(ctx, request.Spec())
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header()))
		response, err := next(ctx, request)
		end(span, err)
		return response, err
	}
}

// WrapStreamingClient implements connect.Interceptor. Subscriptions and consumers have no span: they may last for weeks.
func (t *tracing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		switch spec.Procedure {
		case eventstorev1connect.EventStoreSubscribeProcedure, eventstorev1connect.EventStoreConsumeProcedure:
			return next(ctx, spec)
		}
		ctx, span := t.call(ctx, spec)
		conn := next(ctx, spec)
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(conn.RequestHeader()))
		return &tracedStream{StreamingClientConn: conn, span: span}
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (t *tracing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// tracedStream ends its span with the stream.
type tracedStream struct {
	connect.StreamingClientConn
	span trace.Span
	once sync.Once
}

// Receive implements connect.StreamingClientConn.
func (s *tracedStream) Receive(message any) error {
	err := s.StreamingClientConn.Receive(message)
	if err != nil {
		s.once.Do(func() { end(s.span, err) })
	}
	return err
}

// CloseResponse implements connect.StreamingClientConn.
func (s *tracedStream) CloseResponse() error {
	err := s.StreamingClientConn.CloseResponse()
	s.once.Do(func() { end(s.span, nil) })
	return err
}

// handle calls a handler with its event as the cause, in a span. The span is a child of the one that stored the event or, if
// ctx has a span already, linked to it. Who handles an event already, does not begin again.
func (t *tracing) handle(ctx context.Context, event *Event, name string, handler func(context.Context, *Event) error) error {
	if causeOf(ctx).event == event {
		return handler(ctx, event)
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats_streaming"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.operation.name", "process"), attribute.String("messaging.destination.name", event.Channel),
		attribute.String("messaging.consumer.group.name", name), attribute.String("messaging.message.id", event.Key()),
		attribute.Int64("nats_streaming.sequence", int64(event.Sequence)), attribute.String("nats_streaming.event_type", event.Type))}
	stored := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier(event.Metadata))
	switch origin := trace.SpanContextFromContext(stored); {
	case !origin.IsValid():
	case trace.SpanContextFromContext(ctx).IsValid():
		options = append(options, trace.WithLinks(trace.Link{SpanContext: origin}))
	default:
		ctx = trace.ContextWithRemoteSpanContext(ctx, origin)
	}
	ctx, span := t.Start(WithCause(ctx, event), "process "+event.Type, options...)
	err := handler(ctx, event)
	end(span, err)
	return err
}

// react is Handle with the event as the cause, in a span.
func (r *Reactor) react(ctx context.Context, event *Event) error {
	return newTracing(r.TracerProvider).handle(ctx, event, r.Name, r.Handle)
}
