package main

import (
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

// A sheet collects the figures of all runs.
type sheet struct {
	options
	machine string
	fsync   time.Duration
	// interrupted is set if not all runs were taken.
	interrupted bool
	rows        []row
	figures     map[key][]figures // by run
}

// A row is what all peers can be compared by.
type row struct {
	workload, what string
	part           string
	better         better
}

type key struct {
	row
	peer string
}

// figures are those of one measure.
type figures struct {
	rate                   float64 // per second
	p50, p95, p99, p999    float64 // milliseconds
	most                   float64
	n, conflicts, failures float64
}

func newSheet(o options) *sheet { return &sheet{options: o, figures: map[key][]figures{}} }

func (s *sheet) add(w workload, p peer, r result) {
	at := row{w.name, r.what, w.part, r.better}
	known := false
	for _, other := range s.rows {
		known = known || other == at
	}
	if !known {
		s.rows = append(s.rows, at)
	}
	k := key{at, p.name}
	s.figures[k] = append(s.figures[k], r.figures())
}

func (r *record) figures() figures {
	return figures{
		rate: r.rate(), p50: r.milliseconds(50), p95: r.milliseconds(95), p99: r.milliseconds(99), p999: r.milliseconds(99.9),
		most: float64(r.took.Max()) / 1e3, n: float64(r.n), conflicts: float64(r.conflicts), failures: float64(r.failed),
	}
}

// median is that of a figure over the runs of a peer.
func (s *sheet) median(at row, peer string, of func(figures) float64) (float64, bool) {
	var values []float64
	for _, f := range s.figures[key{at, peer}] {
		values = append(values, of(f))
	}
	if len(values) == 0 {
		return 0, false
	}
	return measure.Median(values), true
}

// total adds up a figure of all runs of a peer.
func (s *sheet) total(at row, peer string, of func(figures) float64) (sum float64) {
	for _, f := range s.figures[key{at, peer}] {
		sum += of(f)
	}
	return sum
}

// compared is the figure by which peers are compared.
func (b better) of(f figures) float64 {
	switch b {
	case byMedian:
		return f.p50
	case byTail:
		return f.p99
	}
	return f.rate
}

func (b better) String() string { return [...]string{"per second", "p50, ms", "p99, ms"}[b] }

// ratio says how many times better ours is than a peer.
func (s *sheet) ratio(at row, ours, peer string) (float64, bool) {
	a, ok := s.median(at, ours, at.better.of)
	b, there := s.median(at, peer, at.better.of)
	if !ok || !there || a == 0 || b == 0 {
		return 0, false
	}
	if at.better == byRate {
		return a / b, true
	}
	return b / a, true
}

// title names a row.
func (r row) title() string {
	if r.what == "" {
		return r.workload
	}
	return r.workload + ", " + r.what
}

// write prints the report and writes its files.
func (s *sheet) write() error {
	page := s.markdown()
	fmt.Print(page)
	return measure.WriteFiles(
		measure.Output{Name: s.out, Make: func() ([]byte, error) { return s.page(page) }}, measure.Output{Name: s.csv, Make: s.table},
		measure.Output{Name: s.svg, Make: s.plot})
}
