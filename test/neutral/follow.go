package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// in returns new streams of one category.
func in(category string) func(*rand.Rand) stream {
	return func(*rand.Rand) stream { return stream{category, uuid.NewString()} }
}

// newCategory is one that nobody has written.
func newCategory() string { return "category" + uuid.NewString()[:8] } // message-db ends a category at the first dash

const followedCategory = "followed"

// catchUp is a follower that reads a category from its first event, again and again, beside writers of it.
func catchUp(events int, rate float64) workload {
	return workload{
		name: "catch-up", part: ourOwn,
		about: fmt.Sprintf("A follower reads %d events of a category, from the first on, while %.0f events a second are written to it.", events, rate),
		take: func(t *trial) error {
			streams, err := t.fill("followed", t.scaled(prefilled{events / streamLength, streamLength}), mediumEvent, in(followedCategory))
			if err != nil {
				return err
			}
			target := len(streams) * streamLength
			reader, err := t.connect(1)
			if err != nil {
				return err
			}
			caught := newRecord()
			var beside *record
			written := make(chan struct{})
			err = both(func() error {
				defer close(written)
				var err error
				beside, err = t.open(8, rate, func(worker int, c client) operation {
					w := t.newWriter(worker, c, mediumEvent, in(followedCategory))
					return func(ctx context.Context, _ time.Time) outcome { return w.write(ctx, 0) }
				})
				return err
			}, func() error {
				for {
					took, err := followUntil(t, reader[0], followedCategory, target)
					caught.add(outcome{events: target, err: err}, took)
					caught.elapsed += took
					select {
					case <-written:
						return err
					default:
					}
				}
			})
			if err == nil {
				caught.n = caught.events // the rate is of events
				t.report("events", byRate, caught)
				t.report("writes beside", byTail, beside)
			}
			return err
		},
	}
}

// followUntil reads a number of events and returns how long it took.
func followUntil(ctx context.Context, c client, category string, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	seen := 0
	err := c.follow(ctx, category, func([]byte) error {
		if seen++; seen == n {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return time.Since(start), err
}

// filtered reads the few events of a category among many of others.
func filtered(events, every int) workload {
	const rare = "rare"
	return workload{
		name: "filtered", part: ourOwn, needs: reads,
		about: fmt.Sprintf("All events of a category that has 1 in %d of %d events.", every, events),
		take: func(t *trial) error {
			if _, err := t.fill("followed", t.scaled(prefilled{events / streamLength, streamLength}), mediumEvent, in(followedCategory)); err != nil {
				return err
			}
			want := events / every
			if _, err := t.fill("rare", prefilled{want, 1}, mediumEvent, in(rare)); err != nil {
				return err
			}
			r, err := t.closed(1, func(_ int, c client) operation {
				return func(ctx context.Context, _ time.Time) outcome {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					list, err := c.category(ctx, rare, 10*want)
					if err == nil && len(list) < want {
						err = fmt.Errorf("the category has %d events, %d were written", len(list), want)
					}
					return outcome{events: len(list), err: err}
				}
			})
			if err == nil {
				t.report("", byMedian, r)
			}
			return err
		},
	}
}

// delivery is the time from an event's append to its delivery.
func delivery(rate float64) workload {
	return workload{
		name: "delivery", part: ourOwn,
		about: fmt.Sprintf("%.0f events a second are written; a follower receives them: from the time when an event should have been appended to its delivery.", rate),
		take: func(t *trial) error {
			category := newCategory()
			var sent sync.Map // intended times by number of the event
			reader, err := t.connect(1)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(t)
			defer cancel()
			r := newRecord()
			var mu sync.Mutex // guards the record
			progress := make(chan struct{}, 1)
			followed := make(chan error, 1)
			go func() {
				followed <- reader[0].follow(ctx, category, func(event []byte) error {
					received := time.Now()
					n, err := numberOf(event)
					if err != nil {
						return err
					}
					intended, ok := sent.LoadAndDelete(n)
					if !ok {
						return fmt.Errorf("event %d was delivered twice", n)
					}
					mu.Lock()
					r.add(outcome{events: 1}, received.Sub(intended.(time.Time)))
					mu.Unlock()
					select {
					case progress <- struct{}{}:
					default:
					}
					return nil
				})
			}()
			var acknowledged atomic.Int64
			written, err := t.open(8, rate, func(worker int, c client) operation {
				w := t.newWriter(worker, c, mediumEvent, in(category))
				n := int64(worker) << 40
				return func(ctx context.Context, intended time.Time) outcome {
					n++
					sent.Store(n, intended)
					o := w.write(ctx, n)
					acknowledged.Add(int64(o.events))
					return o
				}
			})
			if err != nil {
				return err
			}
			received := func() int64 {
				mu.Lock()
				defer mu.Unlock()
				return r.n
			}
			for late := time.After(patience); received() < acknowledged.Load(); {
				select {
				case <-progress:
					continue
				case err := <-followed:
					return fmt.Errorf("follow: %w", err)
				case <-late:
				}
				break
			}
			cancel()
			if err := <-followed; err == nil {
				return errors.New("the follower ended without being told to")
			}
			r.fail(max(0, acknowledged.Load()-r.n), errors.New("not delivered"))
			r.elapsed = written.elapsed
			t.report("", byMedian, r)
			t.report(tail, byTail, r)
			return nil
		},
	}
}
