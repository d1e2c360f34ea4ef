package verify

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Finding is one fault in a row or in the schema.
type Finding struct {
	Kind  string `json:"kind"`  // one of a few words, such as "gap"; docs/operate/operations.md lists them
	Table string `json:"table"` // "Messages"
	Key   string `json:"key"`   // of the row, for a person and for a WHERE
	Text  string `json:"text"`  // the fault
}

// findings collects findings, up to a limit for each kind. It is safe for concurrent use.
type findings struct {
	limit int

	mu     sync.Mutex // guards the fields below
	counts map[string]int
	list   []Finding
}

func newFindings(limit int) *findings { return &findings{limit: limit, counts: map[string]int{}} }

func (f *findings) add(kind, table, key, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[kind]++; f.counts[kind] <= f.limit {
		f.list = append(f.list, Finding{Kind: kind, Table: table, Key: key, Text: fmt.Sprintf(format, args...)})
	}
}

// join adds the findings of another one, which is no longer in use.
func (f *findings) join(other *findings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, finding := range other.list {
		if f.counts[finding.Kind]++; f.counts[finding.Kind] <= f.limit {
			f.list = append(f.list, finding)
		}
		other.counts[finding.Kind]--
	}
	for kind, more := range other.counts {
		f.counts[kind] += more
	}
}

// sorted returns the findings in an order that does not depend on timing.
func (f *findings) sorted() []Finding {
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Table, b.Table))
	})
	return f.list
}
