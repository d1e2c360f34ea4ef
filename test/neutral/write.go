package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// write is workers that write streams of streamLength events, one event after the other, each at the version that the writer knows.
func write(writers, size int, scenario string) workload {
	about := fmt.Sprintf("%s, events of %d bytes, a new stream every %d events", plural(writers, "writer"), size, streamLength)
	if scenario != "" {
		about += ": " + scenario
	}
	return workload{
		name: fmt.Sprintf("write-%d-%d", writers, size), part: writing, about: about + ".",
		take: func(t *trial) error {
			r, err := t.closed(writers, t.newStreams(size))
			if err == nil {
				t.report("", byRate, r)
			}
			return err
		},
	}
}

// writeOpen is events that arrive at a rate.
func writeOpen(rate float64) workload {
	return workload{
		name: "write-open", part: writing,
		about: fmt.Sprintf("%.0f events of %d bytes a second arrive, whether or not the store keeps up.", rate, mediumEvent),
		take: func(t *trial) error {
			r, err := t.open(openWorkers, rate, t.newStreams(mediumEvent))
			if err == nil {
				t.report("", byTail, r)
			}
			return err
		},
	}
}

// newStreams is the operation of a writer.
func (t *trial) newStreams(size int) func(int, client) operation {
	return func(worker int, c client) operation {
		w := t.newWriter(worker, c, size, newStream)
		return func(ctx context.Context, _ time.Time) outcome { return w.write(ctx, w.written) }
	}
}

// A writer appends events to a stream until that is long enough, and then to the next.
type writer struct {
	client
	random  *rand.Rand
	next    func(*rand.Rand) stream
	size    int
	expects bool // what the store can expect

	current stream
	length  int
	at      version
	written int64 // events that were acknowledged
}

func (t *trial) newWriter(worker int, c client, size int, next func(*rand.Rand) stream) *writer {
	return &writer{client: c, random: random(worker), next: next, size: size, expects: t.peer.abilities&expects != 0}
}

// write appends an event with a number.
func (w *writer) write(ctx context.Context, number int64) outcome {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if w.length == 0 {
		w.current, w.at = w.next(w.random), 0
	}
	at := w.at
	if !w.expects {
		at = anyVersion
	}
	v, err := w.append(ctx, w.current, at, [][]byte{newEvent(w.random, number, w.size)})
	if err != nil {
		w.length = 0 // whether it was stored is unknown
		return outcome{err: err}
	}
	w.written++
	w.at, w.length = v, (w.length+1)%streamLength
	return outcome{events: 1}
}

// writeZipf appends to streams of which few are popular, at any version.
func writeZipf(writers, streams int) workload {
	return workload{
		name: fmt.Sprintf("write-zipf-%d", writers), part: writing,
		about: fmt.Sprintf("%s append to %d streams that are chosen by Zipf's law, at any version.", plural(writers, "writer"), streams),
		take: func(t *trial) error {
			list, err := t.fill("written", t.scaled(prefilled{streams, 1}), mediumEvent, newStream)
			if err != nil {
				return err
			}
			r, err := t.closed(writers, appendTo(list, newZipf(len(list), random(0)).next, mediumEvent))
			if err == nil {
				t.report("", byRate, r)
			}
			return err
		},
	}
}

// appendTo is the operation of a writer that appends to chosen streams, at any version.
func appendTo(streams []stream, choose func(*rand.Rand) int, size int) func(int, client) operation {
	return func(worker int, c client) operation {
		r := random(worker)
		return func(ctx context.Context, _ time.Time) outcome {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			_, err := c.append(ctx, streams[choose(r)], anyVersion, [][]byte{newEvent(r, 0, size)})
			return outcome{events: 1, err: err}
		}
	}
}
