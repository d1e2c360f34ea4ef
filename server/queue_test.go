package server

import (
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func queued(ch *channel, text string) publication {
	return publication{ch: ch, guid: text, append: stores.Append{Payload: []byte(text)}}
}

func taken(t *testing.T, q *queue, maxMsgs, maxBytes int) []string {
	t.Helper()
	batch, open := q.take(nil, maxMsgs, maxBytes)
	if !open {
		t.Fatal("the queue is at its end")
	}
	var texts []string
	for _, p := range batch {
		texts = append(texts, p.guid)
	}
	return texts
}

// A burst on one channel does not keep another channel's messages waiting, and each channel keeps its order.
func TestQueueTakesInTurn(t *testing.T) {
	t.Parallel()
	q := newQueue()
	burst, other := &channel{}, &channel{}
	for _, text := range []string{"b1", "b2", "b3", "b4"} {
		q.put(queued(burst, text))
	}
	q.put(queued(other, "o1"))
	q.put(queued(other, "o2"))
	if got, want := taken(t, q, 3, 100), []string{"b1", "o1", "b2"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	q.put(publication{ch: other, group: []publication{queued(other, "g1"), queued(other, "g2")}})
	if got, want := taken(t, q, 4, 100), []string{"o2", "b3", "g1", "g2"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	q.put(queued(burst, "b5"))
	if got, want := taken(t, q, 9, 2), []string{"b4"}; !slices.Equal(got, want) { // two bytes
		t.Errorf("took %v, want %v", got, want)
	}
	select {
	case <-q.ready:
	default:
		t.Error("nothing says that b5 waits")
	}
	if got, want := taken(t, q, 9, 100), []string{"b5"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
}

// A call waits for what arrived before it, however late its turn comes, and for nothing else.
func TestQueueCallsAfter(t *testing.T) {
	t.Parallel()
	q := newQueue()
	burst, other := &channel{}, &channel{}
	var called []string
	call := func(name string) func() { return func() { called = append(called, name) } }
	settle := func() []string {
		called = nil
		for _, f := range q.due() {
			f()
		}
		return called
	}
	q.after(call("at once"))
	if got := settle(); !slices.Equal(got, []string{"at once"}) {
		t.Errorf("called %q", got)
	}
	for _, text := range []string{"b1", "b2", "b3"} {
		q.put(queued(burst, text))
	}
	q.after(call("after the burst"))
	q.put(queued(other, "o1"))
	q.after(call("after all"))
	taken(t, q, 3, 100) // b1, o1, b2
	if got := settle(); len(got) > 0 {
		t.Errorf("called %q while b3 waits", got)
	}
	taken(t, q, 3, 100)
	if got := settle(); !slices.Equal(got, []string{"after the burst", "after all"}) {
		t.Errorf("called %q", got)
	}
}

// The writer is told of the end also if it takes the last messages at the same time.
func TestQueueEnds(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.put(queued(&channel{}, "last"))
	q.close()
	for open, n := true, 0; open; n++ {
		select {
		case <-q.ready:
		default:
			t.Fatalf("nobody is told of the end, after %d signals", n)
		}
		_, open = q.take(nil, 3, 100)
	}
}
