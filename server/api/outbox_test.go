package api

import (
	"testing"
	"time"
)

// Where more waits than the bound allows, the longest waits end, but none that is short, and never the last one.
func TestOutbox(t *testing.T) {
	t.Parallel()
	stopped := make(chan string, 10)
	stop := func(name string) func() { return func() { stopped <- name } }
	o := &outbox{bound: 10, stall: 0}
	first := o.begin(6, stop("first"))
	second := o.begin(6, stop("second"))
	if got := <-stopped; got != "first" {
		t.Errorf("stopped %s", got)
	}
	o.end(first) // its write returns
	if o.held != 6 {
		t.Errorf("%d bytes held, want 6", o.held)
	}
	o.end(second)
	o.begin(100, stop("large"))
	if o.held != 100 || len(stopped) > 0 {
		t.Errorf("%d bytes held, want one large write", o.held)
	}

	o = &outbox{bound: 10, stall: time.Hour}
	o.begin(6, stop("third"))
	o.begin(6, stop("fourth"))
	if o.held != 12 || len(stopped) > 0 || o.again == nil {
		t.Errorf("%d bytes held, want two short waits and a timer", o.held)
	}
	o.again.Stop()

	o = &outbox{bound: 10, stall: 10 * time.Millisecond}
	o.begin(6, stop("fifth"))
	o.begin(6, stop("sixth"))
	if got := <-stopped; got != "fifth" {
		t.Errorf("stopped %s", got)
	}
}
