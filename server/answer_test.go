package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

type leaseAge time.Duration

func (a leaseAge) LeaseAge() time.Duration { return time.Duration(a) }

// TestRefusalsNeedTheLease: a server that may have lost the lease refuses nothing from its memory, and says what it knows.
func TestRefusalsNeedTheLease(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		refusal      error
		fresh, stale bool
	}{
		{nil, true, true},
		{errClientReplaced, true, false},
		{fmt.Errorf("append: %w", &stores.VersionError{Aggregate: "a"}), true, false},
		{fmt.Errorf("append: %w", stores.ErrUnavailable), true, true},
		{fmt.Errorf("append: %w", stores.ErrFenced), false, false},
		{fmt.Errorf("append: %w: %w", stores.ErrFenced, stores.ErrOutcomeUnknown), false, false},
	} {
		text := ""
		if it.refusal != nil {
			text = stanError(it.refusal).Error()
		}
		if got := mayAnswer(text, leaseAge(leaseExpiry-time.Millisecond)); got != it.fresh {
			t.Errorf("with the lease, %q: %t", text, got)
		}
		if got := mayAnswer(text, leaseAge(leaseExpiry)); got != it.stale {
			t.Errorf("after the lease, %q: %t", text, got)
		}
	}
}
