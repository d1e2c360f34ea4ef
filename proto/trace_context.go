package proto

import (
	"bytes"
	"encoding/json"
	"strings"
)

// TraceContext is the trace that an event belongs to, as the publisher wrote it into its metadata: W3C Trace Context, which
// is also CloudEvents' extension for distributed tracing. The zero value means none.
type TraceContext struct {
	Parent string // traceparent
	State  string // tracestate; may be empty
}

// Keys of the metadata that hold a TraceContext.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// maxTraceState bounds tracestate, in bytes. W3C Trace Context asks for at least that many to be passed on.
const maxTraceState = 512

// TraceContext returns the trace of the event. An invalid traceparent is none, and an invalid tracestate is left out.
func (e *Event) TraceContext() TraceContext {
	if !bytes.Contains(e.Metadata, []byte(`"traceparent"`)) {
		return TraceContext{}
	}
	var members struct {
		Parent any `json:"traceparent"`
		State  any `json:"tracestate"`
	}
	if json.Unmarshal(e.Metadata, &members) != nil {
		return TraceContext{}
	}
	parent, _ := members.Parent.(string)
	state, _ := members.State.(string)
	return NewTraceContext(parent, state)
}

// NewTraceContext returns a trace of its two texts, as Event.TraceContext does.
func NewTraceContext(parent, state string) TraceContext {
	if !validTraceParent(parent) {
		return TraceContext{}
	}
	if len(state) > maxTraceState || strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		state = ""
	}
	return TraceContext{parent, state}
}

// validTraceParent reports whether a text is a traceparent of version 00.
func validTraceParent(text string) bool {
	const form = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"
	if len(text) != len(form) {
		return false
	}
	for i := range form {
		c := text[i]
		if hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'; form[i] == 'x' && !hex || form[i] != 'x' && c != form[i] {
			return false
		}
	}
	return text[3:35] != strings.Repeat("0", 32) && text[36:52] != strings.Repeat("0", 16)
}
