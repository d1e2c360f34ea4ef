package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/stan.go"
)

const milliseconds = "ms"

// latencies publishes events one after the other to channels in turn, for a time and at least one to each, and returns how
// long each took, in ascending order.
func latencies(ctx context.Context, conn stan.Conn, channels []string, size int, limit time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	var payload []byte
	events := templateOf(size)
	for start := time.Now(); (time.Since(start) < limit || len(took) < len(channels)) && ctx.Err() == nil; {
		payload = events.next(payload)
		begin := time.Now()
		if err := conn.Publish(channels[len(took)%len(channels)], payload); err != nil {
			return nil, fmt.Errorf("publish: %w", err)
		}
		took = append(took, time.Since(begin))
	}
	if len(took) == 0 {
		return nil, ctx.Err()
	}
	slices.Sort(took)
	return took, ctx.Err()
}

// percentiles are the figures of sorted latencies.
func percentiles(what string, took []time.Duration) []figure {
	at := func(part float64) float64 {
		return float64(took[min(len(took)-1, int(part*float64(len(took))))].Nanoseconds()) / 1e6
	}
	return []figure{{what + " p50", at(0.5), milliseconds}, {what + " p99", at(0.99), milliseconds}}
}
