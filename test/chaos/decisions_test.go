package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func storedAt(position uint64) decided   { return decided{kind: stored, position: position} }
func conflictAt(position uint64) decided { return decided{kind: conflict, position: position} }

func decides(call, end int64, op decision, out decided) porcupine.Operation {
	return porcupine.Operation{Call: call, Return: end, Input: op, Output: out}
}

// soundDecisions returns a history that the server may produce. Other events have the positions in between.
func soundDecisions() []porcupine.Operation {
	x, y, xy := []string{"x"}, []string{"y"}, []string{"x", "y"}
	finally := decided{kind: all, events: []decidedEvent{{2, "a"}, {4, "b"}, {5, "b"}, {7, "late"}, {9, "c"}}}
	return []porcupine.Operation{
		0: decides(0, 3, decision{id: "a", tags: x, none: x}, storedAt(2)),
		1: decides(0, 3, decision{id: "rival", tags: x, none: x}, conflictAt(2)),
		2: decides(4, 6, decision{id: "b", tags: xy, pair: true, none: y}, storedAt(4)), // no event has y
		3: decides(7, 8, decision{id: "a", tags: x, none: x}, storedAt(2)),              // a retry
		4: decides(7, 9, decision{id: "late", tags: y, none: xy, after: 5}, decided{}),
		5: decides(7, 9, decision{id: "lost", tags: y, none: x, after: 5}, decided{}),
		6: decides(10, 11, decision{id: "no", tags: x, none: xy, after: 4}, conflictAt(5)),
		7: decides(20, 21, decision{id: "c", tags: x, none: x, after: 5}, storedAt(9)),
		8: decides(30, 31, decision{read: true}, finally),
	}
}

// TestDecisionsCanFail: the checker accepts a sound history and rejects each forbidden one.
func TestDecisionsCanFail(t *testing.T) {
	t.Parallel()
	check := func(history []porcupine.Operation) bool {
		return porcupine.CheckOperations(decisionModel, settleDecisions(history))
	}
	if !check(soundDecisions()) {
		t.Fatal("the checker rejects the sound history")
	}
	x := []string{"x"}
	ends := func(events ...decidedEvent) porcupine.Operation {
		return decides(30, 31, decision{read: true}, decided{kind: all, events: events})
	}
	for name, change := range map[string]func(h []porcupine.Operation){
		"two rivals win":                    func(h []porcupine.Operation) { h[1].Output = storedAt(3) },
		"a decision without need conflicts": func(h []porcupine.Operation) { h[7].Output = conflictAt(5) },
		"a conflict names the wrong event":  func(h []porcupine.Operation) { h[6].Output = conflictAt(4) },
		"a conflict names no event":         func(h []porcupine.Operation) { h[1].Output = conflictAt(0) },
		"a stale decision is stored": func(h []porcupine.Operation) {
			h[7] = decides(20, 21, decision{id: "c", tags: x, none: x, after: 2}, storedAt(9))
		},
		"a retry is refused":      func(h []porcupine.Operation) { h[3].Output = conflictAt(2) },
		"a retry is stored again": func(h []porcupine.Operation) { h[3].Output = storedAt(6) },
		"a position goes back":    func(h []porcupine.Operation) { h[7].Output = storedAt(3) },
		"an acknowledged decision is lost": func(h []porcupine.Operation) {
			h[8] = ends(decidedEvent{2, "a"}, decidedEvent{4, "b"}, decidedEvent{5, "b"}, decidedEvent{7, "late"})
		},
		"half of a pair is stored": func(h []porcupine.Operation) {
			h[8] = ends(decidedEvent{2, "a"}, decidedEvent{4, "b"}, decidedEvent{7, "late"}, decidedEvent{9, "c"})
		},
		"a refused decision is stored": func(h []porcupine.Operation) {
			h[8] = ends(decidedEvent{2, "a"}, decidedEvent{3, "rival"}, decidedEvent{4, "b"}, decidedEvent{5, "b"}, decidedEvent{7, "late"}, decidedEvent{9, "c"})
		},
		"an event appears before its request": func(h []porcupine.Operation) { h[4].Call, h[4].Return = 25, 26 },
	} {
		history := soundDecisions()
		change(history)
		if check(history) {
			t.Errorf("%s: the checker accepts the history", name)
		}
	}
}

// The checker finishes although a slow server left many decisions without an answer.
func TestManyUnansweredDecisions(t *testing.T) {
	t.Parallel()
	const unanswered = 60
	var history []porcupine.Operation
	var events []decidedEvent
	for i := range unanswered {
		id := fmt.Sprint(i)
		history = append(history, decides(0, 1, decision{id: id, tags: []string{id}, none: []string{id}}, decided{}))
		events = append(events, decidedEvent{uint64(i) + 1, fmt.Sprint(i * 37 % unanswered)})
	}
	history = append(history, decides(30, 31, decision{read: true}, decided{kind: all, events: events}))
	if found := porcupine.CheckOperationsTimeout(decisionModel, settleDecisions(history), time.Minute); found != porcupine.Ok {
		t.Error("sound decisions:", found)
	}
	history[unanswered-1].Call = 40 // stored before its call
	if found := porcupine.CheckOperationsTimeout(decisionModel, settleDecisions(history), time.Minute); found != porcupine.Illegal {
		t.Error("a decision that is stored before its call:", found)
	}
}
