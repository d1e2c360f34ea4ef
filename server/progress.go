package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// progressStore is what write-behind needs of the store.
type progressStore interface {
	SaveProgress(ctx context.Context, changed []stores.Progress) error
}

// progress writes what subscriptions were sent and have acknowledged behind their backs, all
// changes of an interval in one transaction. A crash in between redelivers; it never loses.
type progress struct {
	store    progressStore
	interval time.Duration
	timeout  time.Duration // of one save, while the database is unavailable
	metrics  *metrics
	log      *slog.Logger

	// saving is held while progress is written, so that a row which is being deleted is not
	// written again.
	saving sync.Mutex

	mu    sync.Mutex // guards dirty
	dirty map[*group]struct{}
}

func newProgress(store progressStore, o *Options, m *metrics, log *slog.Logger) *progress {
	return &progress{
		store:    store,
		interval: o.ProgressInterval,
		timeout:  o.StoreTimeout,
		metrics:  m,
		log:      log,
		dirty:    make(map[*group]struct{}),
	}
}

// add marks a group that has changes.
func (p *progress) add(g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty[g] = struct{}{}
}

// run saves at each interval until ctx ends, and then no more: the caller saves a last time when
// everything else has ended.
func (p *progress) run(ctx context.Context) {
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := p.save(ctx)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				p.log.Error("Saving the state of subscriptions fails, retrying", "error", err)
			} else {
				p.log.Info("Saving the state of subscriptions works again")
			}
		}
	}
}

// save writes all changes. After an error they are marked again.
func (p *progress) save(ctx context.Context) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	p.mu.Lock()
	dirty := p.dirty
	if len(dirty) == 0 {
		p.mu.Unlock()
		return nil
	}
	p.dirty = make(map[*group]struct{})
	p.mu.Unlock()

	var changed []stores.Progress
	for g := range dirty {
		changed = append(changed, g.changes()...)
	}
	if len(changed) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := p.store.SaveProgress(ctx, changed); err != nil {
		p.metrics.failed(opProgress, err)
		for g := range dirty {
			g.touchAll()
		}
		return err
	}
	return nil
}
