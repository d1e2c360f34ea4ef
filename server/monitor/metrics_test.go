package monitor

import (
	"fmt"
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

func TestErrorKindsAreDocumented(t *testing.T) {
	t.Parallel()
	kinds := []string{kindOther, kindWrongVersion}
	for _, it := range errorKinds {
		kinds = append(kinds, it.kind)
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	page, err := os.ReadFile("../../docs/monitoring.md")
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
