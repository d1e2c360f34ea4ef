package monitor

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// An error keeps its kind when it is wrapped.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	for _, it := range errorKinds {
		for _, err := range []error{it.err, fmt.Errorf("publish to %q: %w", "c", it.err)} {
			if got := errorKind(err); got != it.kind {
				t.Errorf("%v has kind %s, want %s", err, got, it.kind)
			}
		}
	}
	if got := errorKind(fmt.Errorf("append: %w", &stores.VersionError{})); got != kindWrongVersion {
		t.Errorf("a version error has kind %s", got)
	}
	if got := errorKind(fmt.Errorf("append: %w", stores.ErrUnknownChannel)); got != kindChannelDeleted {
		t.Errorf("an error of a deleted channel has kind %s", got)
	}
	if got := errorKind(os.ErrNotExist); got != kindOther {
		t.Errorf("an unknown error has kind %s", got)
	}
}

// errorCount returns the value of a series of errors_total, which must exist.
func (m *Metrics) errorCount(t *testing.T, operation, kind string) float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metricsPrefix+"errors_total" {
			continue
		}
		for _, series := range family.GetMetric() {
			labels := make(map[string]string)
			for _, l := range series.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["operation"] == operation && labels["kind"] == kind {
				return series.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no errors_total of operation %s and kind %s", operation, kind)
	return 0
}

// The series of each kind exist before its first error, for at least one operation.
func TestErrorSeriesExist(t *testing.T) {
	t.Parallel()
	m := newMetrics(slog.New(slog.DiscardHandler))
	known := make(map[string]bool)
	for operation, kinds := range errorSeries {
		for _, kind := range kinds {
			known[kind] = true
			if got := m.errorCount(t, operation, kind); got != 0 {
				t.Errorf("errors_total of operation %s and kind %s begins with %v", operation, kind, got)
			}
		}
	}
	for _, it := range errorKinds {
		if !known[it.kind] {
			t.Errorf("kind %s has no series", it.kind)
		}
	}
	for _, kind := range codeKinds {
		if !known[kind] {
			t.Errorf("kind %s has no series", kind)
		}
	}
}

func TestErrorKindsAreDocumented(t *testing.T) {
	t.Parallel()
	kinds := []string{kindOther, kindWrongVersion}
	for _, it := range errorKinds {
		kinds = append(kinds, it.kind)
	}
	for _, kind := range codeKinds {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	page, err := os.ReadFile("../../docs/operate/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?ms)^\\| kind \\|.*?\n\n").FindAllString(string(page), -1) {
		for _, kind := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(row, -1) {
			documented = append(documented, kind[1])
		}
	}
	slices.Sort(documented)
	if !slices.Equal(kinds, documented) {
		t.Errorf("kinds %v, documented %v", kinds, documented)
	}
}
