package fuzz

import (
	"fmt"
	"strings"
	"testing"
)

// TestFound repeats inputs that the fuzzer found and that need luck to fail. Each one failed, sometimes or always,
// before its bug was fixed.
func TestFound(t *testing.T) {
	i := startInstance(t, "sqlite", ":memory:")
	for n, it := range []struct{ name, first, repeated string }{
		// The server refused the client ID until it noticed that the duplicate check was answered.
		{"a client that replaced another one is replaced at once", "", "C00"},
		// Messages that were due when the subscription ended were still sent to it: see TestResendAfterTheMemberLeft.
		{"a durable is closed while it is resumed", "C00P10P10P10", "S10142La"},
	} {
		t.Run(it.name, func(t *testing.T) {
			m := newModel(t, i, fmt.Sprint(n))
			m.run([]byte(it.first + strings.Repeat(it.repeated, 5000)))
			m.finish()
		})
	}
	i.stop(t)
}
