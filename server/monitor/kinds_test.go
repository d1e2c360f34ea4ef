package monitor

import (
	"slices"
	"strings"
	"testing"

	texts "github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

// What a client of NATS Streaming can read from a refusal is the kind under which the server counts it.
func TestKindsAreReadFromTexts(t *testing.T) {
	t.Parallel()
	// What only the API and the administration return.
	others := []string{"active_members", "no_subscription", "unknown_channel", "not_event_channel"}
	known := 0
	for _, it := range errorKinds {
		if slices.Contains(others, it.kind) {
			continue
		}
		got, ok := texts.Parse(it.err.Error())
		if ok {
			known++
		}
		if ok && string(got.Code) != it.kind {
			t.Errorf("%q is read as %s, and counted as %s", it.err, got.Code, it.kind)
		}
		if !ok && strings.HasPrefix(it.err.Error(), "stan: ") {
			t.Errorf("%q cannot be read: take its text from package refusal", it.err)
		}
	}
	if known < 30 {
		t.Errorf("%d errors can be read", known)
	}
}
