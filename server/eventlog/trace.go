package eventlog

import (
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Trace follows a submission through the log. One goroutine at a time calls it.
type Trace interface {
	// Decoded is called with what is to be stored. It reports whether the trace is sampled: of others, the log tells nothing
	// more.
	Decoded(messages []Message) (sampled bool)
	// Stored is called for each stored message and each copy, before anybody can read it.
	Stored(channel string, sequence uint64)
	// Answered is called before Answer, with the same results.
	Answered(results []stores.Result)
}

// Batch describes a commit to traces.
type Batch struct {
	Messages     int // in all submissions, traced or not
	Began, Ended time.Time
	Err          error
}

// decoded asks the trace of a submission, if there is one, whether it is sampled.
func (e *entry) decoded() {
	if e.Trace != nil && !e.Trace.Decoded(e.messages) {
		e.Trace = nil
	}
}

// stored tells the trace of a submission of a message that is about to be readable.
func (e *entry) stored(ch *Channel, m stores.Message) {
	if e.Trace != nil {
		e.Trace.Stored(ch.name, m.Sequence)
	}
}

// answer answers a submission.
func (e *entry) answer(results []stores.Result) {
	if e.Trace != nil {
		e.Trace.Answered(results)
	}
	e.Answer(results)
}

// traced tells the traces in a batch of their commit.
func (l *Log) traced(batch []*entry, b Batch) {
	if l.o.Committed == nil {
		return
	}
	var traces []Trace
	for _, e := range batch {
		if e.Trace != nil {
			traces = append(traces, e.Trace)
		}
	}
	if len(traces) > 0 {
		l.o.Committed(traces, b)
	}
}
