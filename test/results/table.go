package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table counts the subtests of a test, by two parts of their names.
type table struct {
	test          string
	rows, columns []string
	ran, passed   map[[2]string]int
}

func (t *table) add(row, column string, passed bool) {
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.columns, column) {
		t.columns = append(t.columns, column)
	}
	at := [2]string{row, column}
	if t.ran[at]++; passed {
		t.passed[at]++
	}
}

func (t *table) print(to io.Writer) {
	slices.Sort(t.rows)
	slices.Sort(t.columns)
	rows, columns, turned := t.rows, t.columns, len(t.columns) > len(t.rows)
	if turned {
		rows, columns = columns, rows
	}
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%s, passed\t%s\n", t.test, strings.Join(columns, "\t"))
	for _, row := range rows {
		fmt.Fprint(out, row)
		for _, column := range columns {
			at := [2]string{row, column}
			if turned {
				at = [2]string{column, row}
			}
			if t.ran[at] == 0 {
				fmt.Fprint(out, "\t")
				continue
			}
			fmt.Fprintf(out, "\t%d of %d", t.passed[at], t.ran[at])
		}
		fmt.Fprintln(out)
	}
	_ = out.Flush()
}
