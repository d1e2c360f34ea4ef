package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// lookInterval is how often a view looks at the database while somebody reads from it, and idleInterval otherwise.
	lookInterval = 100 * time.Millisecond
	idleInterval = time.Second
	// readersStay is how long after a reader asked for the staleness the view assumes that it still reads. Subscriptions ask
	// once a second.
	readersStay = 3 * time.Second
)

// view is the log as a standby knows it. Its goroutine looks at the database; requests wait for it, and do not look
// themselves.
type view struct {
	apiReads
	follower *stores.Follower // owned by run
	end      func()           // closes ended
	wanted   chan struct{}    // one slot: a request waits for a look

	mu     sync.Mutex    // guards the fields below
	seen   time.Time     // when the last successful look began
	err    error         // of the last look
	looked chan struct{} // closed after the next look
	asked  time.Time     // when somebody last read
}

var _ api.Follower = (*view)(nil)

// run looks at the database until ctx ends, or the view cannot go on.
func (v *view) run(ctx context.Context) error {
	next := time.NewTimer(v.interval())
	defer next.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.wanted:
		case <-next.C:
		}
		err := v.look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, stores.ErrUnavailable):
			return err
		case err != nil && !failing:
			v.log.Warn("Standby cannot read the database, retrying; reads fail and subscriptions wait", "error", err)
		case err == nil && failing:
			v.log.Info("Standby reads the database again")
		}
		failing = err != nil
		next.Reset(v.interval())
	}
}

// look brings the view up to date, wakes readers of what is new, and then requests that waited for the look.
func (v *view) look(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, v.opts.StoreTimeout)
	defer cancel()
	before := v.store.Position()
	changed, err := v.follower.Look(ctx, v.eventlog.Know)
	v.eventlog.Appended(changed, before)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err = err; err == nil {
		v.seen = began
	}
	close(v.looked)
	v.looked = make(chan struct{})
	return err
}

// interval is the time to the next look.
func (v *view) interval() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.asked) < readersStay {
		return lookInterval
	}
	return idleInterval
}

// Look implements api.Follower. A look that began after the call is recent enough, however long it takes.
func (v *view) Look(ctx context.Context, before time.Duration) error {
	since := time.Now().Add(-before)
	for {
		v.mu.Lock()
		v.asked = time.Now()
		recent, looked := !v.seen.Before(since), v.looked
		v.mu.Unlock()
		if recent {
			return nil
		}
		select {
		case v.wanted <- struct{}{}:
		default:
		}
		select {
		case <-looked:
		case <-v.ended:
			return api.ErrStandby
		case <-ctx.Done():
			return ctx.Err()
		}
		v.mu.Lock()
		err := v.err
		v.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// Staleness implements api.Follower.
func (v *view) Staleness() api.Staleness {
	v.mu.Lock()
	v.asked = time.Now()
	v.mu.Unlock()
	position, age := v.Behind()
	return api.Staleness{Position: position, Age: age}
}

// Behind implements monitor.Follower: unlike Staleness, it does not count as a reader.
func (v *view) Behind() (position uint64, age time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.store.Position(), time.Since(v.seen)
}

// Open implements api.Log. A channel may just have been created.
func (v *view) Open(ctx context.Context, name string) (api.Channel, error) {
	ch, err := v.Channel(name)
	if !errors.Is(err, api.ErrUnknownChannel) {
		return ch, err
	}
	if err := v.Look(ctx, 0); err != nil {
		return nil, err
	}
	if ch, err = v.Channel(name); errors.Is(err, api.ErrUnknownChannel) {
		err = fmt.Errorf("channel %q does not exist, as far as this standby knows, and only the server that leads creates it: %w", name, api.ErrStandby)
	}
	return ch, err
}

// Administration implements api.Log: only the server that leads has consumers.
func (v *view) Administration() api.Administration { return nil }

// Append implements api.Log.
func (v *view) Append(context.Context, stores.Appender, []api.Encoded, *stores.Group) ([]stores.Result, error) {
	return nil, api.ErrStandby
}
