package stan

import (
	"fmt"
	"testing"
)

func TestOriginOfReplySubjects(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]origin{
		"":                              "",
		"reply":                         "",
		"_INBOX.Gt4vJ0":                 "", // an inbox of its own for each request
		"_INBOX.Gt4vJ0.1":               "_INBOX.Gt4vJ0",
		"custom.prefix.Gt4vJ0.Xk2q":     "custom.prefix.Gt4vJ0",
		"_R_.5nVu9C.GfKq7W.0OBo5nzlPMN": "", // NATS', for a request that crosses accounts
	} {
		if got := originOf(reply); got != want {
			t.Errorf("origin of %q = %q, want %q", reply, got, want)
		}
	}
}

func TestFormersAreBounded(t *testing.T) {
	t.Parallel()
	var f formers
	f.add("none", "")
	if f.has("none", "") {
		t.Error("an unknown origin is nobody's")
	}
	for i := range formersOfOne + 1 {
		f.add("id", origin(fmt.Sprint(i)))
	}
	if f.has("id", "0") || !f.has("id", "1") || !f.has("id", origin(fmt.Sprint(formersOfOne))) {
		t.Errorf("former holders of one ID: %v, want the last %d", f.byID["id"], formersOfOne)
	}
	for i := range 2 * formerIDs {
		f.add(fmt.Sprint("id", i), "o")
	}
	if len(f.byID) > formerIDs || len(f.order) != len(f.byID) {
		t.Errorf("%d IDs are remembered in %d places, want %d at most", len(f.byID), len(f.order), formerIDs)
	}
	if last := fmt.Sprint("id", 2*formerIDs-1); !f.has(last, "o") || f.has("id", "1") {
		t.Error("the longest known are to be forgotten first")
	}
}
