package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// cachedSync is less than most disks take to store something for good.
const cachedSync = 100 * time.Microsecond

// report collects the results of all runs.
type report struct {
	machine string
	fsync   time.Duration
	rows    []row // in the order of the first result
	results map[trialKey][]float64
}

type row struct{ measure, database string }

type trialKey struct {
	row
	column string
}

func newReport(machine string, fsync time.Duration) *report {
	return &report{machine: machine, fsync: fsync, results: map[trialKey][]float64{}}
}

func (r *report) add(t trial, rate float64) {
	at := row{t.measure, t.database}
	if !slices.Contains(r.rows, at) {
		r.rows = append(r.rows, at)
	}
	key := trialKey{at, t.column}
	r.results[key] = append(r.results[key], rate)
}

// median is 0 without results.
func (r *report) median(at row, column string) float64 {
	v := slices.Clone(r.results[trialKey{at, column}])
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Messages per second, %d-byte events, every one synced when it is acknowledged; medians. %s; %s; fsync of 8 KiB: %v.\n\n",
		eventBytes, time.Now().Format(time.DateOnly), r.machine, r.fsync.Round(time.Microsecond))
	if r.fsync < cachedSync {
		fmt.Fprintf(&b, "**An fsync this fast is probably answered by a cache:** where a sync costs more, synchronous figures are lower, and group commit gains more. Whether the cache survives a power failure, this run cannot tell.\n\n")
	}
	fmt.Fprintf(&b, "- **reference**: NATS Streaming %s with `-sql_no_caching`, same client, same database server. It stores no event columns.\n", upstream.Version)
	fmt.Fprintf(&b, "- **raw**: the same rows by SQL on one connection: publish: INSERT of %d rows per commit; 1 publisher: one row per commit; replay: SELECT by key.\n\n", rawBatch)
	b.WriteString("| | database | ours ÷ reference | ours ÷ raw | ours | reference | raw |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, at := range r.rows {
		o, f, w := r.median(at, ours), r.median(at, reference), r.median(at, raw)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", at.measure, at.database,
			ratio(o, f), ratio(o, w), thousands(o), thousands(f), thousands(w))
	}
	for _, at := range r.rows {
		if many, one := r.median(row{sync64, at.database}, ours), r.median(at, ours); at.measure == sync1 && one > 0 && many > 0 {
			fmt.Fprintf(&b, "\n%s: 64 synchronous publishers reach %s times the throughput of one.\n", at.database, ratio(many, one))
		}
	}
	return b.String()
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	digits := 2
	if a/b >= 10 {
		digits = 0
	}
	return strconv.FormatFloat(a/b, 'f', digits, 64)
}

// thousands writes 12345.6 as "12,346"; nothing for 0.
func thousands(v float64) string {
	if v == 0 {
		return ""
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
