package eventstore

import (
	"context"
	"sync"
)

// incoming are the batches that a source delivers while the ones before are applied.
type incoming struct {
	batches chan Batch
	ended   chan struct{}
	err     error // of the source, once ended is closed
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newIncoming(ctx context.Context, source Source, after Checkpoint) *incoming {
	ctx, cancel := context.WithCancel(ctx)
	in := &incoming{batches: make(chan Batch, readAhead), ended: make(chan struct{}), cancel: cancel}
	in.running.Go(func() {
		defer close(in.ended)
		in.err = receive(ctx, source, after, func(batch Batch) error {
			select {
			case in.batches <- batch:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return in
}

// next returns the next batch, or why there is none.
func (in *incoming) next(ctx context.Context) (Batch, error) {
	select {
	case batch := <-in.batches:
		return batch, nil
	case <-ctx.Done():
		return Batch{}, context.Cause(ctx)
	case <-in.ended:
	}
	select {
	case batch := <-in.batches: // it came before the end
		return batch, nil
	default:
		return Batch{}, in.err
	}
}

// stop ends the source and waits for it.
func (in *incoming) stop() {
	in.cancel()
	in.running.Wait()
}
