package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// faults are those of the benchmarks whose workloads these are, and how each is mended here.
var faults = [][2]string{
	{"Clients wait for each answer before they ask again. While a store stalls, nothing is asked, so the stall is one slow operation among thousands.",
		"Closed loops measure what a store can do. Open loops let operations arrive at a rate, and count from the time at which each should have begun: the histogram has what the waiting ones waited."},
	{"Operations that failed are in the histogram of reads, are tried again at once without being counted by writers, and are in no summary.",
		"Failed operations are counted apart, with the first error; a histogram has only what succeeded."},
	{"Mixed workloads read streams by other names than those that were prefilled.",
		"A read of a stream that returns fewer events than were prefilled is a failure."},
	{"Read workloads without a block of writes cannot prefill.", "What is read is prefilled, always."},
	{"Workloads that are named after Zipf's law choose evenly.", "They follow it, with exponent 1; popular streams are not neighbours."},
	{"Half of a mixed workload's writers' operations are reads, its readers never write: 8 + 8 at 50 % is a quarter of writes.",
		"Writers write and readers read. The open loop has rates of each."},
	{"Reads and writes share one histogram and one rate of events.", "Each has its own; a read of a stream is one operation."},
	{"Latencies have the warm-up in them, throughput has not.", "Nothing of the warm-up is recorded."},
	{"Each payload is zeros, which a store may compress away.", "Payloads are JSON with a random text."},
	{"Appends expect nothing, so they can lose nobody's decision.",
		"New streams are written with expected versions by all peers that have them; the workload of a hot aggregate conflicts."},
}

func (s *sheet) markdown() string {
	var b strings.Builder
	s.ratios(&b)
	s.settings(&b)
	fmt.Fprintf(&b, "\n## Workloads\n\nThe workloads of [eventstore-benchmarks](https://github.com/pyeventsourcing/eventstore-benchmarks), rebuilt from their description, and others. "+
		"Where no category is said, streams belong to %d. What a workload reads is written before.\n\n", categories)
	for _, w := range workloads {
		if s.only.Has(w.name) {
			fmt.Fprintf(&b, "- `%s`: %s\n", w.name, w.about)
		}
	}
	b.WriteString("\nFaults of the originals, and what is done here:\n\n| fault | here |\n|---|---|\n")
	for _, f := range faults {
		fmt.Fprintf(&b, "| %s | %s |\n", f[0], f[1])
	}
	s.details(&b)
	return b.String()
}

// measured are the peers of some rows, in the order of the report.
func (s *sheet) measured(rows []row) (list []peer) {
	for _, p := range peers {
		if slices.ContainsFunc(rows, func(at row) bool { return s.figures[key{at, p.name}] != nil }) {
			list = append(list, p)
		}
	}
	return list
}

// ratios is the first table: ours by the peers on the same disk.
func (s *sheet) ratios(b *strings.Builder) {
	type pair struct{ ours, peer string }
	var pairs []pair
	for _, p := range s.measured(s.rows) {
		switch p.name {
		case oursPostgres, oursSQLite:
		case oursSQL:
			pairs = append(pairs, pair{oursSQL, byHand})
		default:
			pairs = append(pairs, pair{map[string]string{onPostgres: oursPostgres, onFiles: oursSQLite}[p.disk], p.name})
		}
	}
	b.WriteString("How many times better this server is than each peer: above 1 it has the higher rate or the lower latency. Peers in PostgreSQL are compared with this server " +
		"on the same PostgreSQL, peers with files with this server on SQLite; `sql` is this server whose readers ask the database. A peer without the operation has no figure.\n\n| workload | compared by |")
	for _, p := range pairs {
		fmt.Fprintf(b, " %s ÷ %s |", strings.TrimPrefix(p.ours, "ours-"), p.peer)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("--:|", len(pairs)) + "\n")
	for _, at := range s.rows {
		fmt.Fprintf(b, "| %s | %v |", at.title(), at.better)
		for _, p := range pairs {
			text := ""
			if v, ok := s.ratio(at, p.ours, p.peer); ok {
				text = measure.Number(v)
			}
			fmt.Fprintf(b, " %s |", text)
		}
		b.WriteString("\n")
	}
}

func (s *sheet) settings(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Peers and settings\n\nMedians of %d interleaved runs of %v each on %s. %s; fsync of 8 KiB: %v. Each client has a connection of its own, in one process on the same machine as the stores.\n",
		s.runs, s.duration, time.Now().Format(time.DateOnly), s.machine, s.fsync.Round(time.Microsecond))
	if s.interrupted {
		b.WriteString("\n**Interrupted:** the last of the runs are missing.\n")
	}
	if s.scale != 1 {
		fmt.Fprintf(b, "\n**A short run:** %g of the prefilled streams. Its figures are a look.\n", s.scale)
	}
	if s.fsync < measure.CachedSync {
		b.WriteString("\n**An fsync this fast is probably answered by a cache:** where a sync costs more, lone writers are slower, and sharing commits gains more.\n")
	}
	b.WriteString("\n| peer | what it is | when it acknowledges |\n|---|---|---|\n")
	for _, p := range s.measured(s.rows) {
		fmt.Fprintf(b, "| %s | %s | %s |\n", p.name, p.about, p.durability)
	}
	fmt.Fprintf(b, "\nNATS Streaming is %s. PostgreSQL has 256 MB of buffers and is otherwise as it comes.\n", upstream.Version)
}

// details are the figures of each part.
func (s *sheet) details(b *strings.Builder) {
	b.WriteString("\n## Figures\n\nOperations a second (p50 / p99 in ms). In open loops the rate is that of the arrivals, unless a store cannot keep up.\n")
	var failed []string
	for _, part := range []string{calling, writing, reading, mixing, ourOwn, crashing} {
		var rows []row
		for _, at := range s.rows {
			if at.part == part && at.what != tail {
				rows = append(rows, at)
			}
		}
		list := s.measured(rows)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n### %s\n\n| |", part)
		for _, p := range list {
			fmt.Fprintf(b, " %s |", p.name)
		}
		b.WriteString("\n|---|" + strings.Repeat("--:|", len(list)) + "\n")
		for _, at := range rows {
			fmt.Fprintf(b, "| %s |", at.title())
			for _, p := range list {
				fmt.Fprintf(b, " %s |", s.cell(at, p.name))
				if n := s.total(at, p.name, func(f figures) float64 { return f.failures }); n > 0 {
					failed = append(failed, fmt.Sprintf("%s of %s: %.0f", at.title(), p.name, n))
				}
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\nFailed operations: ")
	if len(failed) == 0 {
		b.WriteString("none.\n")
	} else {
		b.WriteString(strings.Join(failed, "; ") + ".\n")
	}
}

// cell is "1,234 (0.52 / 2.10)", with the conflicts of an operation if there are any.
func (s *sheet) cell(at row, peer string) string {
	rate, ok := s.median(at, peer, func(f figures) float64 { return f.rate })
	if !ok {
		return ""
	}
	p50, _ := s.median(at, peer, func(f figures) float64 { return f.p50 })
	p99, _ := s.median(at, peer, func(f figures) float64 { return f.p99 })
	text := fmt.Sprintf("%s (%s / %s)", measure.Number(rate), measure.Number(p50), measure.Number(p99))
	if at.part == crashing {
		text = measure.Number(p50) + " ms"
	}
	if conflicts, n := s.total(at, peer, func(f figures) float64 { return f.conflicts }), s.total(at, peer, func(f figures) float64 { return f.n }); conflicts > 0 && n > 0 {
		text += fmt.Sprintf(", %s conflicts each", measure.Number(conflicts/n))
	}
	return text
}

// page is the report as a page of the documentation. What people wrote at its end stays.
func (s *sheet) page(text string) ([]byte, error) {
	notes, err := measure.NotesOf(s.out)
	if err != nil {
		return nil, err
	}
	return []byte("# Beside other event stores\n\nWritten by `make neutral NEUTRAL=-write`; `make neutral NEUTRAL=-help` tells how to measure less.\n\n" +
		text + "\n" + measure.Links(s.csv, s.svg, "throughput by clients") + notes), nil
}
