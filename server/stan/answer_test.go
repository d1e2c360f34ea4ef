package stan

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
	const expiry = 3 * time.Second
	for _, it := range []struct {
		refusal      error
		fresh, stale bool
	}{
		{nil, true, true},
		{ErrClientReplaced, true, false},
		{fmt.Errorf("append: %w", &stores.VersionError{Aggregate: "a"}), true, false},
		{fmt.Errorf("append: %w", stores.ErrUnavailable), true, true},
		{fmt.Errorf("append: %w", stores.ErrFenced), false, false},
		{fmt.Errorf("append: %w: %w", stores.ErrFenced, stores.ErrOutcomeUnknown), false, false},
	} {
		if got := mayAnswer(it.refusal, leaseAge(expiry-time.Millisecond), expiry); got != it.fresh {
			t.Errorf("with the lease, %v: %t", it.refusal, got)
		}
		if got := mayAnswer(it.refusal, leaseAge(expiry), expiry); got != it.stale {
			t.Errorf("after the lease, %v: %t", it.refusal, got)
		}
	}
}
