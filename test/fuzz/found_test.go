package fuzz

import (
	"fmt"
	"strings"
	"testing"
)

// TestFound repeats what the fuzzer found and what needs luck to be seen. Each failed, if not
// each time, before its bug was fixed.
func TestFound(t *testing.T) {
	i := startInstance(t, "sqlite", ":memory:")
	for n, it := range []struct{ name, first, again string }{
		// The server went on refusing the client ID for as long as it took to note that the question was answered.
		{"a client that replaced another one is replaced at once", "", "C00"},
		// Messages that were due when the subscription ended were sent to it afterwards: see TestResendAfterTheMemberLeft.
		{"a durable is closed while it is resumed", "C00P10P10P10", "S10142La"},
	} {
		t.Run(it.name, func(t *testing.T) {
			m := newModel(t, i, fmt.Sprint(n))
			m.run([]byte(it.first + strings.Repeat(it.again, 5000)))
			m.finish()
		})
	}
	i.stop(t)
}
