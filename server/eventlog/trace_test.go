package eventlog

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Without tracing, no step of an append allocates for it.
func TestTracingOffCostsNoMemory(t *testing.T) {
	l, ch := &Log{}, &Channel{name: "orders"}
	e := &entry{Submission: Submission{Answer: func([]stores.Result) {}}}
	batch, results := []*entry{e}, []stores.Result{{}}
	if n := testing.AllocsPerRun(100, func() {
		e.decoded()
		e.stored(ch, results[0].Message)
		l.traced(batch, Batch{Messages: 1})
		e.answer(results)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
