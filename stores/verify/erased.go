package verify

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Erased lists by channel the sequences whose messages an administrator has erased. That they are missing is no fault.
type Erased map[string]Ranges

// Ranges are sequences: sorted, disjoint and not adjacent.
type Ranges []Range

// Range is the sequences from First to Last.
type Range struct{ First, Last int64 }

// ReadErased reads a list with a line for each sequence or range: "17 eventstore.orders" or "17-19 eventstore.orders", as
// database clients print two columns, separated by a space, a tab or "|". Empty lines and those that begin with # are comments.
func ReadErased(from io.Reader) (Erased, error) {
	erased := Erased{}
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line, " \t|")
		if end < 0 {
			return nil, fmt.Errorf("line %d: %q is not a sequence and a channel, such as 17 eventstore.orders", n, line)
		}
		channel := strings.TrimLeft(line[end:], " \t|")
		first, last, isRange := strings.Cut(line[:end], "-")
		if !isRange {
			last = first
		}
		r := Range{}
		var err error
		if r.First, err = strconv.ParseInt(first, 10, 64); err == nil {
			r.Last, err = strconv.ParseInt(last, 10, 64)
		}
		if err != nil || r.First < 1 || r.Last < r.First || channel == "" {
			return nil, fmt.Errorf("line %d: %q is not a sequence, or first-last, and a channel", n, line)
		}
		erased[channel] = append(erased[channel], r)
	}
	for channel, ranges := range erased {
		erased[channel] = ranges.merged()
	}
	return erased, lines.Err()
}

func (rs Ranges) merged() Ranges {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	merged := rs[:0]
	for _, r := range rs {
		if n := len(merged); n > 0 && r.First-1 <= merged[n-1].Last {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// within returns the parts of the ranges that lie in r.
func (rs Ranges) within(r Range) Ranges {
	from, _ := slices.BinarySearchFunc(rs, r.First, func(have Range, first int64) int { return cmp.Compare(have.Last, first) })
	var parts Ranges
	for _, have := range rs[from:] {
		if have.First > r.Last {
			break
		}
		parts = append(parts, Range{max(have.First, r.First), min(have.Last, r.Last)})
	}
	return parts
}

// without returns the parts of r that the ranges leave.
func (rs Ranges) without(r Range) Ranges {
	var parts Ranges
	for _, have := range rs.within(r) {
		if have.First > r.First {
			parts = append(parts, Range{r.First, have.First - 1})
		}
		r.First = have.Last + 1
	}
	if r.First <= r.Last {
		parts = append(parts, r)
	}
	return parts
}

// count returns the number of sequences.
func (rs Ranges) count() (n int64) {
	for _, r := range rs {
		n += r.Last - r.First + 1
	}
	return n
}
