// Package tracing tests the traces of the server from outside: with a collector that speaks OTLP, as an operator's does.
package tracing

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector receives spans by OTLP, over gRPC and over HTTP.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer

	mu      sync.Mutex // guards the fields below
	spans   []*span
	service map[string]string // attributes of the resource
	header  http.Header       // of the last request over HTTP
	changed chan struct{}     // closed when spans arrive
}

// span is a received span.
type span struct {
	trace, id, parent string // parent is "" for a root
	name, kind        string
	attributes        map[string]string
	links             []string // span IDs
	failure           string
	began, ended      uint64
}

func newCollector() *collector { return &collector{changed: make(chan struct{})} }

// serveGRPC serves OTLP over gRPC until stop is called.
func (c *collector) serveGRPC(l net.Listener) (stop func()) {
	s := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(s, c)
	go func() { _ = s.Serve(l) }()
	return s.Stop
}

// serveHTTP serves OTLP over HTTP, in protobuf, until stop is called.
func (c *collector) serveHTTP(l net.Listener) (stop func()) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.post)
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	return func() { _ = s.Close() }
}

func (c *collector) post(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	text, err := io.ReadAll(body)
	var req collectorv1.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(text, &req)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint("not OTLP in protobuf: ", err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.header = r.Header
	c.mu.Unlock()
	_, _ = c.Export(r.Context(), &req)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Export implements collectorv1.TraceServiceServer.
func (c *collector) Export(_ context.Context, req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		c.service = valuesOf(r.GetResource().GetAttributes())
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, spanOf(s))
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func spanOf(s *tracev1.Span) *span {
	own := &span{
		trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
		name: s.GetName(), kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")), attributes: valuesOf(s.GetAttributes()),
		began: s.GetStartTimeUnixNano(), ended: s.GetEndTimeUnixNano(),
	}
	for _, l := range s.GetLinks() {
		own.links = append(own.links, hex.EncodeToString(l.GetSpanId()))
	}
	if s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
		own.failure = s.GetStatus().GetMessage()
	}
	return own
}

func valuesOf(attributes []*commonv1.KeyValue) map[string]string {
	values := make(map[string]string)
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			values[a.GetKey()] = v.StringValue
		case *commonv1.AnyValue_IntValue:
			values[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *commonv1.AnyValue_BoolValue:
			values[a.GetKey()] = fmt.Sprint(v.BoolValue)
		}
	}
	return values
}

// find returns the spans that a condition selects, and a channel that is closed when others arrive.
func (c *collector) find(wanted func(*span) bool) ([]*span, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*span
	for _, s := range c.spans {
		if wanted(s) {
			found = append(found, s)
		}
	}
	return found, c.changed
}

// tree draws a trace, in order of time, with the batches that its commits link to.
func (c *collector) tree(trace, root, name string) string {
	spans, _ := c.find(func(s *span) bool { return s.trace == trace })
	slices.SortFunc(spans, func(a, b *span) int { return int(int64(a.began) - int64(b.began)) })
	if len(spans) == 0 {
		return ""
	}
	start := spans[0].began
	var b strings.Builder
	fmt.Fprintf(&b, "trace %s\n%s\n", trace, name)
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		var children []*span
		for _, s := range spans {
			if s.parent == parent {
				children = append(children, s)
			}
		}
		for i, s := range children {
			branch, below := "├─ ", "│  "
			if i == len(children)-1 {
				branch, below = "└─ ", "   "
			}
			fmt.Fprintf(&b, "%-64s%8.2f ms +%.2f ms%s\n", indent+branch+s.name+" ["+s.kind+"]"+s.detail(),
				float64(s.began-start)/1e6, float64(s.ended-s.began)/1e6, c.batchOf(s))
			draw(s.id, indent+below)
		}
	}
	draw(root, "")
	return b.String()
}

// detail is what tells a span from its siblings.
func (s *span) detail() string {
	if s.kind != "producer" {
		return ""
	}
	to := s.attributes["messaging.client.id"]
	if to == "" {
		to = s.attributes["messaging.destination.name"]
	}
	if n := s.attributes["nats_streaming.redelivery_count"]; n != "" {
		to += " again"
	}
	return " to " + to
}

func (c *collector) batchOf(s *span) string {
	if s.name != "commit" || len(s.links) == 0 {
		return ""
	}
	batch, _ := c.find(func(other *span) bool { return other.id == s.links[0] })
	if len(batch) == 0 {
		return ""
	}
	return fmt.Sprintf("  → commit batch of %s, trace %s…", batch[0].attributes["db.operation.batch.size"], batch[0].trace[:8])
}
