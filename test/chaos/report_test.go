package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report counts faults and the silence around them, as a table.
type report struct {
	order []string
	kinds map[string]*kindReport
}

type kindReport struct {
	count    int
	silences []time.Duration // the longest time without a good publish, for each fault
}

func (r *report) add(kind string, silence time.Duration) {
	if r.kinds == nil {
		r.kinds = map[string]*kindReport{}
	}
	if r.kinds[kind] == nil {
		r.kinds[kind] = &kindReport{}
		r.order = append(r.order, kind)
	}
	r.kinds[kind].count++
	r.kinds[kind].silences = append(r.kinds[kind].silences, silence)
}

// String renders the report as Markdown.
func (r *report) String() string {
	var b strings.Builder
	b.WriteString("| fault | times | longest time without a publish decided: median | maximum |\n|---|---|---|---|\n")
	total := 0
	slices.Sort(r.order)
	for _, name := range r.order {
		k := r.kinds[name]
		slices.Sort(k.silences)
		total += k.count
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", name, k.count, seconds(k.silences[len(k.silences)/2]), seconds(k.silences[len(k.silences)-1]))
	}
	fmt.Fprintf(&b, "| all | %d | | |\n", total)
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
