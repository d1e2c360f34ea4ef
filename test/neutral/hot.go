package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// hotAttempts bounds the conflicts of one command.
const hotAttempts = 10_000

// hotAggregate is writers of one aggregate: each command asks for its version and appends at it, until no other was faster.
func hotAggregate(writers int) workload {
	return workload{
		name: fmt.Sprintf("hot-%d", writers), part: ourOwn, needs: reads | expects,
		about: fmt.Sprintf("%s of one aggregate: each command asks for the version and appends an event at it, again until there is no conflict. A command's latency has its conflicts in it.", plural(writers, "writer")),
		take: func(t *trial) error {
			hot := newStream(random(0))
			r, err := t.closed(writers, func(worker int, c client) operation {
				r := random(worker)
				return func(ctx context.Context, _ time.Time) (o outcome) {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					for o.conflicts < hotAttempts {
						at, err := c.head(ctx, hot)
						if err == nil {
							_, err = c.append(ctx, hot, at, [][]byte{newEvent(r, 0, mediumEvent)})
						}
						if !errors.Is(err, errConflict) {
							o.events, o.err = 1, err
							return o
						}
						o.conflicts++
					}
					o.err = fmt.Errorf("%d conflicts of one command", o.conflicts)
					return o
				}
			})
			if err == nil {
				t.report("", byRate, r)
			}
			return err
		},
	}
}
