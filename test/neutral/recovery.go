package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// recovery kills a store under its writers.
func recovery(writers int) workload {
	return workload{
		name: "recovery", part: crashing,
		about: fmt.Sprintf("All processes of the store, its database included, are killed with kill -9 under %s: from the start of the first process to the first acknowledged append. "+
			"An event that was acknowledged before and is not there afterwards counts as failed.", plural(writers, "writer")),
		take: func(t *trial) error { return t.recover(writers) },
	}
}

const recoveryCategory = "recovery"

func (t *trial) recover(writers int) (err error) {
	s, err := t.peer.start(t, t.apart)
	defer func() {
		t.leave()
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err != nil {
		return err
	}
	t.store = s
	acknowledged, err := t.killUnder(writers)
	if err != nil {
		return err
	}
	r := newRecord()
	start := time.Now()
	if err := s.restart(t); err != nil {
		return fmt.Errorf("start after kill -9: %w", err)
	}
	c, err := t.firstAppend()
	r.add(outcome{events: 1, err: err}, time.Since(start))
	if r.elapsed = time.Since(start); err == nil {
		r.fail(t.missing(c, acknowledged))
	}
	t.report("", byMedian, r)
	return nil
}

// killUnder writes until each writer has written something, and for a time, and kills the store. It returns the numbers of the
// events that were acknowledged.
func (t *trial) killUnder(writers int) (map[int64]bool, error) {
	clients, err := t.connect(t.atMost(writers))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t)
	defer cancel()
	var mu sync.Mutex // guards acknowledged
	acknowledged := map[int64]bool{}
	var begun, ended sync.WaitGroup
	begun.Add(len(clients))
	errs := make([]error, len(clients))
	for worker, c := range clients {
		w := t.newWriter(worker, c, mediumEvent, in(recoveryCategory))
		ended.Go(func() {
			for n := int64(worker) << 40; ctx.Err() == nil; n++ {
				o := w.write(ctx, n)
				if o.err == nil {
					mu.Lock()
					acknowledged[n] = true
					mu.Unlock()
				}
				if n == int64(worker)<<40 {
					errs[worker] = o.err
					begun.Done()
				}
				if o.err != nil {
					return
				}
			}
		})
	}
	begun.Wait()
	time.Sleep(t.duration / 2)
	err = t.store.kill()
	cancel()
	ended.Wait()
	t.leave()
	return acknowledged, errors.Join(append(errs, err)...)
}

// firstAppend returns a client whose append was acknowledged.
func (t *trial) firstAppend() (client, error) {
	ctx, cancel := context.WithTimeout(t, limit)
	defer cancel()
	for {
		connected, err := t.connect(1)
		if err == nil {
			if o := t.newWriter(-1, connected[0], mediumEvent, in(recoveryCategory)).write(ctx, -1); o.err == nil {
				return connected[0], nil
			} else {
				err = o.err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("no append %v after the start: %w", limit, err)
		}
	}
}

// missing returns how many events are not there that should be.
func (t *trial) missing(c client, expected map[int64]bool) (int64, error) {
	ctx, cancel := context.WithTimeout(t, limit)
	defer cancel()
	seen := 0
	err := c.follow(ctx, recoveryCategory, func(event []byte) error {
		n, err := numberOf(event)
		if err != nil {
			return err
		}
		seen++
		if delete(expected, n); len(expected) == 0 {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return int64(len(expected)), fmt.Errorf("%d acknowledged events are missing among %d that are there: %w", len(expected), seen, err)
}
