package offline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// followBytes bounds the messages in memory that wait for the database; what is on its way to the tool is bounded likewise.
	followBytes = 64 << 20
	// followCatching is how many channels are read from their beginning at a time.
	followCatching = 4
	followInflight = 4096
	followPoll     = time.Second
)

var (
	errLost  = errors.New("the connection to the old server is lost")
	errLevel = errors.New("all channels are level")
)

// follow copies what a serving NATS Streaming has, and goes on with what it gets.
type follow struct {
	m    *move
	from *copier

	taps     map[string]*tap
	goals    map[string]uint64 // last sequence of each channel on the old server
	wake     chan struct{}
	catching chan struct{}
	room     *semaphore.Weighted
	failures chan error
	wg       sync.WaitGroup

	began time.Time
	count uint64 // messages copied
}

// run returns errLost when the connection is lost, and errLevel when everything is copied and the move does not follow.
func (f *follow) run(ctx context.Context) error {
	f.taps, f.goals = map[string]*tap{}, map[string]uint64{}
	f.wake, f.catching, f.failures = make(chan struct{}, 1), make(chan struct{}, followCatching), make(chan error, 1)
	f.room = semaphore.NewWeighted(followBytes)
	f.began = time.Now()
	state, err := f.m.old.look(ctx)
	if err != nil {
		return err
	}
	if err := f.checkEnds(state); err != nil {
		return err
	}
	taps, stop := context.WithCancel(ctx)
	defer f.wg.Wait()
	defer f.from.close()
	defer stop()
	states := make(chan *oldState)
	f.wg.Go(func() { f.poll(taps, states) })
	for {
		if state != nil {
			if err := f.extend(ctx, taps, state); err != nil {
				return err
			}
			state = nil
		}
		if f.isLevel() {
			if !f.m.o.Follow {
				return errLevel
			}
			f.m.tellLevel(len(f.taps), f.count)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-f.failures:
			return err
		case <-f.wake:
			err = f.storeAll(ctx)
		case state = <-states:
		case <-f.from.lost:
			if err := f.storeAll(ctx); err != nil {
				return err
			}
			return errLost
		}
		if err != nil {
			return err
		}
	}
}

// poll looks at the old server again and again.
func (f *follow) poll(ctx context.Context, states chan<- *oldState) {
	for pause := followPoll; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		state, err := f.m.old.look(ctx)
		pause = max(followPoll, 10*time.Since(began)) // many channels and subscriptions make the page expensive
		if err != nil {
			continue // the connection tells when the server is gone
		}
		select {
		case states <- state:
		case <-ctx.Done():
			return
		}
	}
}

// checkEnds compares the ends of the channels with what was copied earlier.
func (f *follow) checkEnds(state *oldState) error {
	if f.m.old.Cluster != state.Cluster {
		return fmt.Errorf("the old server has the cluster ID %q, not %q", state.Cluster, f.m.old.Cluster)
	}
	if !state.leads() {
		return nil // it may be behind
	}
	for _, c := range state.channels {
		known := f.m.target.channels[c.Name]
		if known == nil {
			continue
		}
		if last := known.c.Info().Last; c.Last < last {
			return fmt.Errorf("channel %q of the old server ends at sequence %d, but %d was copied: the server has lost its store, or the channel was deleted and made again. Copy into an empty database", c.Name, c.Last, last)
		}
	}
	return nil
}

// extend begins to follow channels that are new.
func (f *follow) extend(ctx, taps context.Context, state *oldState) error {
	f.m.sawState(state)
	inflight := func(c oldChannel) int {
		average := c.Bytes/max(c.Msgs, 1) + 200
		return int(min(followInflight, max(1, followBytes/uint64(max(followCatching, len(state.channels)))/average)))
	}
	for _, c := range state.channels {
		f.goals[c.Name] = c.Last
		if c.Msgs == 0 { // all are discarded: the end is copied with what is left
			f.goals[c.Name] = 0
		}
		if f.taps[c.Name] != nil {
			continue
		}
		channel, err := f.m.target.channel(ctx, c.Name)
		if err != nil {
			return err
		}
		t := &tap{
			f: channel, inflight: inflight(c), wake: f.wake, catching: f.catching, level: make(chan struct{}), again: make(chan struct{}, 1),
			room:   func(size int) bool { return f.takeRoom(taps, size) },
			failed: f.fail, report: f.m.target.out.line, next: channel.c.Info().Last + 1,
		}
		if last := channel.c.Info().Last; last > 0 {
			if t.prove, err = f.m.target.stored(ctx, channel.c, last); err != nil {
				return err
			}
		}
		f.taps[c.Name] = t
		f.wg.Go(func() { t.run(taps, f.from.sc) })
	}
	return nil
}

// takeRoom waits until size bytes may wait, or gives them back.
func (f *follow) takeRoom(ctx context.Context, size int) bool {
	if size < 0 {
		f.room.Release(min(int64(-size), followBytes))
		return true
	}
	return f.room.Acquire(ctx, min(int64(size), followBytes)) == nil
}

func (f *follow) fail(err error) {
	select {
	case f.failures <- err:
	default:
	}
}

// storeAll stores what has come.
func (f *follow) storeAll(ctx context.Context) error {
	for again := true; again; {
		again = false
		for _, t := range f.taps {
			messages, more := t.batch()
			again = again || more
			if len(messages) == 0 {
				continue
			}
			if err := f.m.target.db.store.Restore(ctx, t.f.c, messages, 0); err != nil {
				return err
			}
			if err := t.f.fill(ctx, f.m.target.db.store, f.m.target.events, f.m.target.o.Versions, nil); err != nil {
				return err
			}
			for _, m := range messages {
				f.takeRoom(ctx, -sizeOf(m))
			}
			f.count += uint64(len(messages))
			f.progress()
		}
	}
	return nil
}

// behind returns how many messages are missing, by the last look at the old server.
func (f *follow) behind() (missing uint64) {
	for name, t := range f.taps {
		if last := t.f.c.Info().Last; !t.isBlocked() && f.goals[name] > last {
			missing += f.goals[name] - last
		}
	}
	return missing
}

func (f *follow) progress() {
	rate := float64(f.count) / time.Since(f.began).Seconds()
	missing := f.behind()
	left := time.Duration(float64(missing) / rate * float64(time.Second)).Round(time.Second)
	f.m.target.out.progress("Copied %d messages, %.0f/s; at least %d to go, %v left.", f.count, rate, missing, left)
}

// isLevel reports whether all channels are copied as far as they were known to go, and lets those go on that are.
func (f *follow) isLevel() bool {
	all := true
	for name, t := range f.taps {
		switch {
		case t.f.c.Info().Last >= f.goals[name]:
			if !t.levelled {
				close(t.level)
				t.levelled = true
			}
		case !t.isBlocked():
			all = false
		}
	}
	return all
}
