package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// checked are the workloads that a slowdown of this server shows in.
var checked = measure.Names{"write-1-256", "write-16-256", "write-64-256", "read-16-500", "mixed-8-8", "filtered", "catch-up", "delivery"}

// A build is one of this server, and the file of its figures.
type build struct{ name, binary string }

// check measures two builds of this server in turns, and writes the figures of each as base.txt and new.txt, which benchstat compares.
func check(ctx context.Context, o options, at *place) error {
	builds := []build{{"base", o.base}, {"new", at.server}}
	var h [2]*harness
	for i, b := range builds {
		binary, err := filepath.Abs(b.binary)
		if err != nil {
			return err
		}
		at.server = binary
		h[i], err = startAll(ctx, o, at)
		defer func() { _ = h[i].close() }() // their figures are written
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	var lines [2]strings.Builder
	turn := 0
	for run := range o.runs {
		for _, w := range workloads {
			if !o.only.Has(w.name) {
				continue
			}
			for p := range h[0].peers {
				for i := range builds {
					i = (i + turn) % len(builds) // base, new, new, base: what drifts meets both alike
					pid := h[i].stores[p].(*ours).running.PID()
					used := measure.ProcessorTime(pid)
					results, err := h[i].take(ctx, w, p)
					used = measure.ProcessorTime(pid) - used
					if err != nil {
						return fmt.Errorf("%s: %s of %s: %w", builds[i].name, w.name, h[i].peers[p].name, err)
					}
					for _, r := range results {
						progress("run %d/%d  %s %s  %s  %s: %v", run+1, o.runs, w.name, r.what, h[i].peers[p].name, builds[i].name, r.record)
						if r.failed > 0 {
							return fmt.Errorf("%s: %s of %s: %d operations failed: %w", builds[i].name, w.name, h[i].peers[p].name, r.failed, r.failure)
						}
						lines[i].WriteString(r.benchmark(w, h[i].peers[p]))
					}
					lines[i].WriteString(processorOf(w, h[i].peers[p], results, used))
				}
				turn++
			}
		}
	}
	for i, b := range builds {
		if err := os.WriteFile(filepath.Join(o.check, b.name+".txt"), []byte(lines[i].String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// benchmark is a result as a line of Go's benchmarks: less is better in each unit. A latency that compares peers is beside the time per
// operation, which an open loop sets.
func (r result) benchmark(w workload, p peer) string {
	line := fmt.Sprintf("BenchmarkStore/%s/%s", p.name, w.name)
	if r.what != "" {
		line += "/" + strings.ReplaceAll(r.what, " ", "-")
	}
	if r.better == byRate {
		return fmt.Sprintf("%s/closed %d %.0f ns/op\n", line, r.n, float64(r.elapsed.Nanoseconds())/float64(r.n))
	}
	return fmt.Sprintf("%s/latency %d %.0f ns/op\n", line, r.n, r.better.of(r.figures())*1e6)
}

// processorOf is what the server's process used of the processors for each operation: it tells builds apart where a busy machine hides it
// from the times. The warm-up is in it, for both builds alike.
func processorOf(w workload, p peer, results []result, used time.Duration) string {
	var n int64
	for _, r := range results {
		if r.what != tail {
			n += r.n
		}
	}
	return fmt.Sprintf("BenchmarkStore/%s/%s/processor %d %.0f ns/op\n", p.name, w.name, n, float64(used.Nanoseconds())/float64(n))
}

// completeCheck sets what -check measures.
func (o *options) completeCheck() error {
	if o.base == "" || o.write || o.quick || len(o.peers) > 0 {
		return errors.New("-check needs -base, and excludes -peers, -quick and -write")
	}
	if o.only == nil {
		o.only = checked
	}
	o.peers = measure.Names{oursPostgres, oursSQLite}
	return nil
}
