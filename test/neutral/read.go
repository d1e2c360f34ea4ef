package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// readLimit is how many events of a stream a reader asks for.
const readLimit = 100

// readStreams is readers of whole streams that were written before.
func readStreams(readers int, p prefilled, popular bool) workload {
	name, choice := fmt.Sprintf("read-%d-%d", readers, p.streams), "at random"
	if popular {
		name, choice = fmt.Sprintf("read-zipf-%d-%d", readers, p.streams), "by Zipf's law"
	}
	return workload{
		name: name, part: reading, needs: reads,
		about: fmt.Sprintf("%s of %v, chosen %s.", plural(readers, "reader"), p, choice),
		take: func(t *trial) error {
			streams, err := t.fill("read", t.scaled(p), mediumEvent, newStream)
			if err != nil {
				return err
			}
			choose := evenly(streams)
			if popular {
				choose = newZipf(len(streams), random(0)).next
			}
			r, err := t.closed(readers, readFrom(streams, choose, p.length))
			if err == nil {
				t.report("", byRate, r)
			}
			return err
		},
	}
}

// readOpen is reads that arrive at a rate.
func readOpen(rate float64, p prefilled) workload {
	return workload{
		name: "read-open", part: reading, needs: reads,
		about: fmt.Sprintf("%.0f reads a second arrive, of %v.", rate, p),
		take: func(t *trial) error {
			streams, err := t.fill("read", t.scaled(p), mediumEvent, newStream)
			if err != nil {
				return err
			}
			r, err := t.open(openWorkers, rate, readFrom(streams, evenly(streams), p.length))
			if err == nil {
				t.report("", byTail, r)
			}
			return err
		},
	}
}

func evenly(streams []stream) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return r.IntN(len(streams)) }
}

// readFrom is the operation of a reader. A stream that has fewer events than were written is a failure, not a fast read.
func readFrom(streams []stream, choose func(*rand.Rand) int, least int) func(int, client) operation {
	return func(worker int, c client) operation {
		r := random(worker)
		return func(ctx context.Context, _ time.Time) outcome {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			of := streams[choose(r)]
			events, err := c.read(ctx, of, readLimit)
			if err == nil && len(events) < least {
				err = fmt.Errorf("stream %s has %d events, at least %d were written", of.id, len(events), least)
			}
			return outcome{events: len(events), err: err}
		}
	}
}
