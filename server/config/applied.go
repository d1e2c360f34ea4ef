package config

import (
	"maps"
	"slices"
)

// Applied are the settings that were given and that count until the server ends: values by name. They may be secret.
type Applied map[string]string

// Changed returns the sorted names of the settings whose values differ, or that only one of both has.
func (a Applied) Changed(now Applied) []string {
	changed := make(map[string]bool)
	for _, one := range []Applied{a, now} {
		for name := range one {
			before, was := a[name]
			after, is := now[name]
			if before != after || was != is {
				changed[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
