package main

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// table is each figure of each run, as comma separated values.
func (s *sheet) table() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"workload", "operations", "peer", "run", "per_second", "p50_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms", "succeeded", "conflicts", "failed"}}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, at := range s.rows {
		for _, p := range peers {
			for run, f := range s.figures[key{at, p.name}] {
				rows = append(rows, []string{at.workload, at.what, p.name, strconv.Itoa(run + 1), strconv.FormatFloat(f.rate, 'f', 1, 64),
					number(f.p50), number(f.p95), number(f.p99), number(f.p999), number(f.most), number(f.n), number(f.conflicts), number(f.failures)})
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
