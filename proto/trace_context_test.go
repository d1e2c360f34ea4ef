package proto

import "testing"

func TestTraceContext(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for metadata, want := range map[string]TraceContext{
		``:                                      {},
		`{"a":"b"}`:                             {},
		`{"traceparent":"` + parent + `"}`:      {Parent: parent},
		`{"note":"\"traceparent\""}`:            {},
		`{"traceparent":1}`:                     {},
		`{"traceparent":"` + parent + `\r\nx"}`: {},
		`{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"}`: {},
		`{"traceparent":"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}`: {},
		`{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}`: {},
		`{"traceparent":"` + parent + `","tracestate":"shop=1,other=2"}`:            {parent, "shop=1,other=2"},
		`{"traceparent":"` + parent + `","tracestate":"a=\r\nInjected: 1"}`:         {Parent: parent},
		`{"traceparent":"` + parent + `","tracestate":{"a":1}}`:                     {Parent: parent},
		`{"tracestate":"shop=1"}`: {},
	} {
		e := Event{Metadata: []byte(metadata)}
		if got := e.TraceContext(); got != want {
			t.Errorf("%s: %+v, want %+v", metadata, got, want)
		}
	}
}
