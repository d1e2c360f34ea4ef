package chaos

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
)

// decision is a request that stores its events if no event after a position has all of some tags.
type decision struct {
	epoch int64
	read  bool // of all decisions of the epoch, with SQL
	id    string
	tags  []string // of its events
	pair  bool     // it stores an event on each of two channels, otherwise one
	none  []string // no event after after may have all of these
	after uint64
	// before is how many events of the epoch precede its own in the end, -1 if it has none: see settleDecisions.
	before int
}

// decided is the outcome of a decision.
type decided struct {
	kind     kind   // unknown, stored, conflict or all
	position uint64 // stored: of its first event; conflict: of the event that it names
	events   []decidedEvent
}

type decidedEvent struct {
	position uint64
	id       string
}

// decisions is the state of an epoch: its last event and all earlier ones.
type decisions struct {
	before *decisions // nil if empty
	decidedEvent
	tags   []string
	length int
	digest uint64 // hash of all events
}

func (d *decisions) append(position uint64, op decision) *decisions {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s", d.digest, position, op.id)
	return &decisions{before: d, decidedEvent: decidedEvent{position, op.id}, tags: op.tags, length: d.length + 1, digest: h.Sum64()}
}

// find returns the position of a decision's first event, or 0.
func (d *decisions) find(id string) uint64 {
	found := uint64(0)
	for ; d.before != nil; d = d.before {
		if d.id == id {
			found = d.position
		} else if found != 0 {
			break
		}
	}
	return found
}

// firstMatch returns the position of the first event that a decision does not expect, or 0.
func (d *decisions) firstMatch(op decision) uint64 {
	found := uint64(0)
	for ; d.before != nil && d.position > op.after; d = d.before {
		if !slices.ContainsFunc(op.none, func(tag string) bool { return !slices.Contains(d.tags, tag) }) {
			found = d.position
		}
	}
	return found
}

func (d *decisions) equal(events []decidedEvent) bool {
	if d.length != len(events) {
		return false
	}
	for i := len(events) - 1; i >= 0; i-- {
		if d.decidedEvent != events[i] {
			return false
		}
		d = d.before
	}
	return true
}

// decisionModel is the server's promise: positions follow the order of decisions, and a decision is stored if and only if
// no event after its position has its tags. The events of a decision are neighbours.
var decisionModel = porcupine.Model{
	Init: func() any { return &decisions{} },
	Step: func(state, input, output any) (bool, any) {
		return decide(state.(*decisions), input.(decision), output.(decided))
	},
	Equal: func(a, b any) bool {
		x, y := a.(*decisions), b.(*decisions)
		return x.length == y.length && x.digest == y.digest
	},
	Hash:      func(state any) uint64 { return state.(*decisions).digest },
	Partition: partitionDecisions,
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v → %+v", input, output)
	},
}

func decide(state *decisions, op decision, out decided) (bool, *decisions) {
	at := state.find(op.id)
	match := state.firstMatch(op)
	switch {
	case out.kind == all:
		return state.equal(out.events), state
	case out.kind == conflict:
		return at == 0 && match != 0 && match == out.position, state
	case out.kind != stored:
		return false, state
	case at != 0: // an earlier attempt stored it
		return at == out.position, state
	case match != 0 || out.position <= state.position || op.before != state.length:
		return false, state
	}
	state = state.append(out.position, op)
	if op.pair {
		state = state.append(out.position+1, op)
	}
	return true, state
}

func partitionDecisions(history []porcupine.Operation) [][]porcupine.Operation {
	byEpoch := map[int64][]porcupine.Operation{}
	for _, op := range history {
		epoch := op.Input.(decision).epoch
		byEpoch[epoch] = append(byEpoch[epoch], op)
	}
	var parts [][]porcupine.Operation
	for _, part := range byEpoch {
		parts = append(parts, part)
	}
	return parts
}

// settleDecisions prepares a history for the checker, given what the final reads in it found: an unanswered decision that is
// not stored did not happen. One that is stored happened at some time after its call. Each decision learns the place of its
// events: without it, the checker tries every order of those without an answer, and does not finish if there are many.
func settleDecisions(history []porcupine.Operation) []porcupine.Operation {
	type place struct {
		position uint64
		before   int
	}
	places := map[string]place{}
	for _, op := range history {
		for i, e := range slices.Backward(op.Output.(decided).events) {
			places[e.id] = place{e.position, i}
		}
	}
	var kept []porcupine.Operation
	for _, op := range history {
		in := op.Input.(decision)
		at, found := places[in.id]
		if in.before = at.before; !found {
			in.before = -1
		}
		if op.Output.(decided).kind == unknown {
			if !found {
				continue
			}
			op.Output, op.Return = decided{kind: stored, position: at.position}, math.MaxInt64
		}
		op.Input = in
		kept = append(kept, op)
	}
	return kept
}
