// Package chaos records what concurrent clients of the server see while it is killed, paused and cut off from its
// database, and checks with porcupine that there is one order of events which explains it.
package chaos

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/anishathalye/porcupine"
)

// aggregate is a stream of versions.
type aggregate struct{ channel, id string }

// operation is what a client asked for.
type operation struct {
	aggregate aggregate
	read      bool   // of all events with SQL, or of the last one from the server
	id        string // event_id of what is published
	version   uint64 // expected version; 0: any
}

// result is what became of an operation.
type result struct {
	kind  kind
	head  uint64   // conflict: the aggregate's version
	ids   []string // all: its events, by version
	last  uint64   // last: version of the last event, 0: none
	event string   // last: its event_id

	unavailable bool // unknown: the server said that the store is
}

type kind int

const (
	unknown   kind = iota // no answer, or none that says what became of it
	stored                // acknowledged
	conflict              // refused: wrong expected version
	different             // refused: the event_id is that of another event, here one with another version
	all                   // read: all events
	last                  // read: the last event
)

// events is the state of an aggregate: its last event, and those before.
type events struct {
	before  *events // nil: no events
	version uint64
	id      string
	digest  uint64 // of the identifiers from the first on
}

var none = &events{}

func (e *events) append(id string) *events {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", e.digest, id)
	return &events{before: e, version: e.version + 1, id: id, digest: h.Sum64()}
}

// find returns the version of an event, 0 if it is not there.
func (e *events) find(id string) uint64 {
	for ; e.before != nil; e = e.before {
		if e.id == id {
			return e.version
		}
	}
	return 0
}

// equal reports whether these are the events.
func (e *events) equal(ids []string) bool {
	if e.version != uint64(len(ids)) {
		return false
	}
	for i := len(ids) - 1; i >= 0; i-- {
		if e.id != ids[i] {
			return false
		}
		e = e.before
	}
	return true
}

// model is what the server promises of one aggregate: an event with version N is the Nth, and is there once.
var model = porcupine.Model{
	Init: func() any { return none },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(*events), input.(operation), output.(result))
	},
	Equal: func(a, b any) bool {
		x, y := a.(*events), b.(*events)
		return x.version == y.version && x.digest == y.digest
	},
	Hash:      func(state any) uint64 { return state.(*events).digest },
	Partition: partition,
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v → %+v", input, output)
	},
}

func step(state *events, op operation, r result) (bool, *events) {
	at := state.find(op.id)
	again := at != 0 && (op.version == 0 || op.version == at)
	next := at == 0 && (op.version == 0 || op.version == state.version+1)
	switch r.kind {
	case unknown:
		if next {
			return true, state.append(op.id)
		}
		return true, state
	case stored:
		if next {
			return true, state.append(op.id)
		}
		return again, state
	case conflict:
		return at == 0 && !next && r.head == state.version, state
	case different:
		return at != 0 && !again, state
	case all:
		return state.equal(r.ids), state
	case last:
		return state.version == r.last && state.id == r.event, state
	}
	return false, state
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	byAggregate := map[aggregate][]porcupine.Operation{}
	for _, op := range history {
		key := op.Input.(operation).aggregate
		byAggregate[key] = append(byAggregate[key], op)
	}
	var parts [][]porcupine.Operation
	for _, part := range byAggregate {
		parts = append(parts, part)
	}
	return parts
}

// settle prepares a history for the checker, given the events that are there when all is over, which no operation can
// change any more. Events are never removed: a publish without an answer whose event is not there at the end did not
// happen, and is left out; one whose event is there happened at some time after its call.
func settle(history []porcupine.Operation, final map[aggregate][]string) []porcupine.Operation {
	there := map[aggregate]map[string]bool{}
	for key, ids := range final {
		there[key] = map[string]bool{}
		for _, id := range ids {
			there[key][id] = true
		}
	}
	var settled []porcupine.Operation
	for _, op := range history {
		if in := op.Input.(operation); op.Output.(result).kind == unknown {
			if in.read || !there[in.aggregate][in.id] {
				continue
			}
			op.Return = math.MaxInt64
		}
		settled = append(settled, op)
	}
	return settled
}
