package offline

import (
	"context"
	"errors"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// keptLease renews a lease in pauses between writes.
type keptLease struct {
	stop context.CancelFunc
	done chan struct{} // closed when run returns
}

// keepLease keeps the lease that a store holds. If it is lost, the writes of the store fail, too.
func keepLease(ctx context.Context, store *stores.Store) *keptLease {
	ctx, stop := context.WithCancel(ctx)
	k := &keptLease{stop: stop, done: make(chan struct{})}
	go k.run(ctx, store)
	return k
}

func (k *keptLease) run(ctx context.Context, store *stores.Store) {
	defer close(k.done)
	renew := time.NewTicker(lease.Renewal)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			if errors.Is(store.RenewLease(ctx), stores.ErrFenced) {
				return
			}
		}
	}
}

// closeStore ends the renewals, if there are any, releases the lease and closes the store.
func closeStore(ctx context.Context, store *stores.Store, kept *keptLease) error {
	if kept != nil {
		kept.stop()
		<-kept.done
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.Timeout)
	defer cancel()
	defer store.Close()
	return store.ReleaseLease(ctx)
}
