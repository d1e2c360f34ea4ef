package eventlog

import (
	"fmt"
	"testing"
)

// An owner with many items delays another owner by one item at a time.
func TestTurnsAreFair(t *testing.T) {
	t.Parallel()
	var q turns[string]
	for i := range 4 {
		q.push("many", fmt.Sprint("m", i))
	}
	q.push("few", "f0")
	q.push("other", "o0")
	var got []string
	for q.len() > 0 {
		got = append(got, q.pop())
		if len(got) == 3 {
			q.push("few", "f1") // behind the waiting owners
		}
	}
	if want := "[m0 f0 o0 m1 f1 m2 m3]"; fmt.Sprint(got) != want {
		t.Errorf("order %v, want %s", got, want)
	}
	if len(q.owners) != 0 || q.order.len() != 0 {
		t.Errorf("%d owners are left", len(q.owners))
	}
}
