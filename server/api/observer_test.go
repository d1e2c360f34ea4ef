package api

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Metrics know what each method does.
func TestEveryMethodHasAnOperation(t *testing.T) {
	t.Parallel()
	var methods []string
	for method := range unary {
		methods = append(methods, method)
	}
	for method := range streams {
		if !strings.Contains(method, "Reflection") {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	if known := slices.Sorted(maps.Keys(operations)); !slices.Equal(known, methods) {
		t.Errorf("operations of %v, methods %v", known, methods)
	}
}
