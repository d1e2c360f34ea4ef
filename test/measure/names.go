// Package measure is what the benchmarks share: lists of names in flags, the description of the machine, and how figures are written.
package measure

import (
	"fmt"
	"slices"
	"strings"
)

// Names is a list of names separated by commas, as a flag. Empty, it has all.
type Names []string

// String implements flag.Value.
func (l *Names) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *Names) Set(text string) error {
	*l = nil
	for _, name := range strings.Split(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*l = append(*l, name)
		}
	}
	return nil
}

// Has reports whether a name is in the list.
func (l *Names) Has(name string) bool { return len(*l) == 0 || slices.Contains(*l, name) }

// Check returns an error if a name of a flag's list is not one of all.
func (l *Names) Check(flag string, all []string) error {
	for _, name := range *l {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%s: unknown %q, there are %s", flag, name, strings.Join(all, ", "))
		}
	}
	return nil
}
