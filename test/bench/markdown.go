package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d interleaved runs on %s. %s; fsync of 8 KiB: %v.\n\n", r.runs, time.Now().Format(time.DateOnly), r.machine, r.fsync.Round(time.Microsecond))
	if r.interrupted != "" {
		fmt.Fprintf(&b, "**Interrupted in section %s:** what comes after it is missing.\n\n", r.interrupted)
	}
	if r.fsync < measure.CachedSync {
		fmt.Fprintf(&b, "**An fsync this fast is probably answered by a cache:** where a sync costs more, synchronous figures are lower, and group commit gains more. Whether the cache survives a power failure, this run cannot tell.\n\n")
	}
	if r.commitDelay > 0 {
		fmt.Fprintf(&b, "**PostgreSQL with `commit_delay = %d`, `commit_siblings = 0`:** each flush of its log takes that many microseconds longer, for all peers alike, as on a disk that needs them.\n\n", r.commitDelay)
	}
	for _, p := range peers {
		if slices.ContainsFunc(r.cells, func(at cell) bool { return r.results[at][p.name] != nil }) {
			fmt.Fprintf(&b, "- **%s**: %s\n", p.name, p.about)
		}
	}
	fmt.Fprintf(&b, "\nNATS Streaming is %s. Columns `÷` are this server's figure divided by the peer's.\n", upstream.Version)
	b.WriteString("\nDurability: PostgreSQL `fsync=on`, `synchronous_commit=on`, `full_page_writes=on`; MariaDB `innodb_flush_log_at_trx_commit=1` with doublewrite, no binary log; SQLite WAL with `synchronous=FULL`; both servers have 256 MB of buffers.\n")
	r.goals(&b)
	for _, s := range sections {
		r.section(&b, s)
	}
	return b.String()
}

func (r *report) section(b *strings.Builder, s section) {
	var cells []cell
	for _, at := range r.cells {
		if at.section == s.name {
			cells = append(cells, at)
		}
	}
	if len(cells) == 0 {
		return
	}
	var columns []string
	for _, p := range peers {
		if slices.ContainsFunc(cells, func(at cell) bool { return r.results[at][p.name] != nil }) {
			columns = append(columns, p.name)
		}
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| | database | bytes | unit |", strings.ToUpper(s.name[:1])+s.name[1:], s.about)
	compare := columns[0] == ours
	if compare {
		for _, p := range columns[1:] {
			fmt.Fprintf(b, " ÷ %s |", p)
		}
	}
	for _, p := range columns {
		fmt.Fprintf(b, " %s |", p)
	}
	b.WriteString("\n|---|---|--:|---|" + strings.Repeat("--:|", len(columns)))
	if compare {
		b.WriteString(strings.Repeat("--:|", len(columns)-1))
	}
	b.WriteString("\n")
	for _, at := range cells {
		if at.database == noDatabase && slices.ContainsFunc(cells, func(c cell) bool {
			same := at
			same.database = c.database
			return c.database != noDatabase && c == same
		}) {
			continue // in the rows of the databases
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s |", at.name, at.database, at.size, at.unit)
		if compare {
			o, _ := r.median(at, ours)
			for _, p := range columns[1:] {
				text := ""
				if v, ok := r.median(at, p); ok && v != 0 && o != 0 {
					text = measure.Number(o / v)
				}
				fmt.Fprintf(b, " %s |", text)
			}
		}
		for _, p := range columns {
			text := ""
			if v, ok := r.median(at, p); ok {
				text = measure.Number(v)
			}
			fmt.Fprintf(b, " %s |", text)
		}
		b.WriteString("\n")
	}
}
