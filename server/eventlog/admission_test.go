package eventlog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Waiting callers are served in order, before any caller that does not wait. A message larger than the bound is
// admitted when nothing is held.
func TestAdmissionIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(10)
		acquire := func(ctx context.Context, bytes int) <-chan error {
			done := make(chan error, 1)
			go func() { done <- a.Acquire(ctx, bytes) }()
			synctest.Wait()
			return done
		}
		if !a.TryAcquire(99) {
			t.Fatal("a large message is not admitted")
		}
		if a.TryAcquire(1) {
			t.Error("a message is admitted beside a large one")
		}
		a.Release(99)
		if !a.TryAcquire(6) || a.TryAcquire(5) || !a.TryAcquire(4) {
			t.Error("the bound is not 10")
		}
		large := acquire(t.Context(), 50)
		small := acquire(t.Context(), 1)
		a.Release(4)
		synctest.Wait()
		if len(large)+len(small) > 0 || a.TryAcquire(1) {
			t.Error("a caller is served before another that waited longer")
		}
		a.Release(6)
		if err := <-large; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(small) > 0 {
			t.Error("a message is admitted beside a large one")
		}
		a.Release(50)
		if err := <-small; err != nil {
			t.Error(err)
		}
		if got := a.Held(); got != 1 {
			t.Errorf("%d bytes held, want 1", got)
		}
	})
}

// A caller that gives up lets those behind it pass and holds nothing.
func TestAdmissionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(10)
		a.TryAcquire(5)
		cause := errors.New("the caller left")
		ctx, cancel := context.WithCancelCause(t.Context())
		large, small := make(chan error, 1), make(chan error, 1)
		go func() { large <- a.Acquire(ctx, 6) }()
		synctest.Wait()
		go func() { small <- a.Acquire(t.Context(), 5) }()
		synctest.Wait()
		cancel(cause)
		if err := <-large; !errors.Is(err, ErrOverloaded) || !errors.Is(err, cause) {
			t.Error(err)
		}
		if err := <-small; err != nil {
			t.Error(err)
		}
		a.Release(5)
		a.Release(5)
		if got := a.Held(); got != 0 {
			t.Errorf("%d bytes held", got)
		}
	})
}
