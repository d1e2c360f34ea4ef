// Package chaos records what concurrent clients see while servers are killed, paused and cut off from the database. It
// checks with porcupine that one order of events explains all of it.
package chaos

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/anishathalye/porcupine"
)

// aggregate names an aggregate; its events are numbered by version.
type aggregate struct{ channel, id string }

// operation is a client's request.
type operation struct {
	aggregate aggregate
	read      bool   // of all events with SQL, or of the last event from the server
	id        string // event_id of the published event
	version   uint64 // expected version; 0: any
	place     uint64 // version of the event in the end, 0 if there is none: see dropLost
}

// result is the outcome of an operation.
type result struct {
	kind  kind
	head  uint64   // conflict: the aggregate's version
	ids   []string // all: event_ids by version
	last  uint64   // last: version of the last event; 0: none
	event string   // last: its event_id

	unavailable bool // unknown: the server reported that the database is unavailable
}

type kind int

const (
	unknown   kind = iota // no answer, or one that does not tell the outcome
	stored                // acknowledged
	conflict              // refused: wrong expected version
	different             // refused: the event_id belongs to a different event, here one with another version
	all                   // read: all events
	last                  // read: the last event
)

// events is the state of an aggregate: its last event and all earlier ones.
type events struct {
	before  *events // nil if empty
	version uint64
	id      string
	digest  uint64 // hash of all event_ids
}

var none = &events{}

func (e *events) append(id string) *events {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", e.digest, id)
	return &events{before: e, version: e.version + 1, id: id, digest: h.Sum64()}
}

// find returns the version of an event, or 0.
func (e *events) find(id string) uint64 {
	for ; e.before != nil; e = e.before {
		if e.id == id {
			return e.version
		}
	}
	return 0
}

// equal compares the event_ids.
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

// model is the server's promise for one aggregate: the event with version N is the Nth, and no event is stored twice.
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
	duplicate := at != 0 && (op.version == 0 || op.version == at)
	next := at == 0 && (op.version == 0 || op.version == state.version+1)
	switch r.kind {
	case unknown, stored:
		if next && op.place == state.version+1 {
			return true, state.append(op.id)
		}
		return duplicate || at != 0 && r.kind == unknown, state
	case conflict:
		return at == 0 && !next && r.head == state.version, state
	case different:
		return at != 0 && !duplicate, state
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

// dropLost prepares a history for the checker, given the events that exist after all operations have ended. Events are
// never removed. So an unanswered publish whose event is missing did not happen and is dropped. One whose event exists
// happened at some time after its call. Each publish learns the place of its event: without it, the checker tries every order of
// those without an answer, and does not finish if there are many.
func dropLost(history []porcupine.Operation, final map[aggregate][]string) []porcupine.Operation {
	places := map[aggregate]map[string]uint64{}
	for key, ids := range final {
		places[key] = map[string]uint64{}
		for i, id := range ids {
			places[key][id] = uint64(i) + 1
		}
	}
	var kept []porcupine.Operation
	for _, op := range history {
		in := op.Input.(operation)
		in.place = places[in.aggregate][in.id]
		if op.Output.(result).kind == unknown {
			if in.place == 0 {
				continue
			}
			op.Return = math.MaxInt64
		}
		op.Input = in
		kept = append(kept, op)
	}
	return kept
}
