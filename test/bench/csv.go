package main

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// table is each figure of each run, as comma separated values.
func (r *report) table() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"section", "measure", "database", "bytes", "peer", "run", "value", "unit"}}
	for _, at := range r.cells {
		for _, p := range peers {
			for run, v := range r.results[at][p.name] {
				rows = append(rows, []string{at.section, at.name, at.database, strconv.Itoa(at.size), p.name,
					strconv.Itoa(run + 1), strconv.FormatFloat(v, 'f', -1, 64), at.unit})
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
