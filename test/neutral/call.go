package main

import (
	"context"
	"fmt"
	"time"
)

// call is clients that ask for nothing. What a store does comes on top of that.
func call(clients int) workload {
	return workload{
		name: fmt.Sprintf("call-%d", clients), part: calling,
		about: fmt.Sprintf("%s without a question: the way to the store and back, before the store does anything.", plural(clients, "client")),
		take: func(t *trial) error {
			r, err := t.closed(clients, func(_ int, c client) operation {
				return func(ctx context.Context, _ time.Time) outcome {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					return outcome{err: c.call(ctx)}
				}
			})
			if err == nil {
				t.report("", byRate, r)
			}
			return err
		},
	}
}
