package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

var a = aggregate{"eventstore.c", "a"}

func publish(call, end int64, id string, version uint64, r result) porcupine.Operation {
	return porcupine.Operation{Call: call, Return: end, Input: operation{aggregate: a, id: id, version: version}, Output: r}
}

func read(call, end int64, ids ...string) porcupine.Operation {
	return porcupine.Operation{Call: call, Return: end, Input: operation{aggregate: a, read: true}, Output: result{kind: all, ids: ids}}
}

func readLast(call, end int64, version uint64, id string) porcupine.Operation {
	return porcupine.Operation{Call: call, Return: end, Input: operation{aggregate: a, read: true}, Output: result{kind: last, last: version, event: id}}
}

// sound returns a history that the server may produce.
func sound() []porcupine.Operation {
	return []porcupine.Operation{
		0:  read(0, 1),
		1:  publish(2, 5, "x", 1, result{kind: stored}),
		2:  publish(2, 6, "y", 1, result{kind: conflict, head: 1}),
		3:  publish(7, 8, "y", 2, result{kind: stored}),
		4:  publish(7, 9, "x", 1, result{kind: stored}), // a duplicate
		5:  publish(10, 11, "z", 0, result{kind: unknown}),
		6:  publish(10, 11, "lost", 3, result{kind: unknown}),
		7:  read(12, 13, "x", "y"), // z arrives late
		8:  publish(14, 15, "z", 4, result{kind: different}),
		9:  readLast(16, 17, 3, "z"),
		10: publish(18, 19, "w", 0, result{kind: stored}),
		11: read(20, 21, "x", "y", "z", "w"),
	}
}

// final returns what is read at the end.
func final(history []porcupine.Operation) map[aggregate][]string {
	return map[aggregate][]string{a: history[len(history)-1].Output.(result).ids}
}

// TestCheckerCanFail: the checker accepts a sound history and rejects each forbidden one.
func TestCheckerCanFail(t *testing.T) {
	t.Parallel()
	check := func(history []porcupine.Operation) bool {
		return porcupine.CheckOperations(model, dropLost(history, final(history)))
	}
	if !check(sound()) {
		t.Fatal("the checker rejects the sound history")
	}
	for name, change := range map[string]func(h []porcupine.Operation){
		"an acknowledged event is lost":                    func(h []porcupine.Operation) { h[11] = read(20, 21, "x", "y", "z") },
		"an acknowledged event is missing":                 func(h []porcupine.Operation) { h[11] = read(20, 21, "x", "z", "w") },
		"an event is stored twice":                         func(h []porcupine.Operation) { h[11] = read(20, 21, "x", "y", "z", "z", "w") },
		"events are in a different order":                  func(h []porcupine.Operation) { h[11] = read(20, 21, "y", "x", "z", "w") },
		"an event was never published":                     func(h []porcupine.Operation) { h[11] = read(20, 21, "x", "y", "z", "w", "v") },
		"an event is read before it is sent":               func(h []porcupine.Operation) { h[0] = read(0, 1, "x") },
		"a read misses an acknowledged event":              func(h []porcupine.Operation) { h[7] = read(12, 13, "x") },
		"a server shows an old last event":                 func(h []porcupine.Operation) { h[9] = readLast(16, 17, 2, "y") },
		"an event disappears after a read":                 func(h []porcupine.Operation) { h[7] = read(12, 13, "x", "y", "lost") },
		"two events have the same version":                 func(h []porcupine.Operation) { h[2] = publish(2, 6, "y", 1, result{kind: stored}) },
		"a version is skipped":                             func(h []porcupine.Operation) { h[3] = publish(7, 8, "y", 3, result{kind: stored}) },
		"the correct version is refused":                   func(h []porcupine.Operation) { h[3] = publish(7, 8, "y", 2, result{kind: conflict, head: 1}) },
		"a refusal names an old version":                   func(h []porcupine.Operation) { h[2] = publish(7, 8, "y", 1, result{kind: conflict, head: 0}) },
		"a duplicate of a stored event is refused":         func(h []porcupine.Operation) { h[4] = publish(7, 9, "x", 1, result{kind: conflict, head: 2}) },
		"a free event_id is refused as taken":              func(h []porcupine.Operation) { h[10] = publish(18, 19, "w", 5, result{kind: different}) },
		"a different event is acknowledged as a duplicate": func(h []porcupine.Operation) { h[8] = publish(14, 15, "z", 4, result{kind: stored}) },
	} {
		history := sound()
		change(history)
		if check(history) {
			t.Errorf("%s: the checker accepts the history", name)
		}
	}
}

// The checker finishes although a slow server left many publishes without an answer.
func TestManyUnansweredPublishes(t *testing.T) {
	t.Parallel()
	const unanswered = 60
	var history []porcupine.Operation
	var ids []string
	for i := range unanswered {
		history = append(history, publish(0, 1, fmt.Sprint(i), 0, result{kind: unknown}))
		ids = append(ids, fmt.Sprint(i*37%unanswered))
	}
	history = append(history, read(30, 31, ids...))
	if found := porcupine.CheckOperationsTimeout(model, dropLost(history, final(history)), time.Minute); found != porcupine.Ok {
		t.Error("sound publishes:", found)
	}
	history[unanswered-1].Call = 40 // stored before its call
	if found := porcupine.CheckOperationsTimeout(model, dropLost(history, final(history)), time.Minute); found != porcupine.Illegal {
		t.Error("a publish whose event is stored before its call:", found)
	}
}
