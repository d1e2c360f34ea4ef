package server

import (
	"strings"
	"testing"
)

func TestValidChannel(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "a.b": true, "a b": true, "é.ü": true, "A-1_2": true,
		"": false, ".": false, ".a": false, "a.": false, "a..b": false, "a/b": false, "a.*": false, "*": false, "a>": false,
		"a\x00": false, "a.\xff": false, strings.Repeat("é", 1024): true, strings.Repeat("x", 1025): false,
	} {
		if got := validChannel(name); got != want {
			t.Errorf("validChannel(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		pattern, name string
		want          bool
	}{
		{"eventstore.>", "eventstore.orders", true},
		{"eventstore.>", "eventstore.orders.eu", true},
		{"eventstore.>", "eventstore", false},
		{"eventstore.>", "eventstores.orders", false},
		{">", "a.b", true},
		{"*", "a", true},
		{"*", "a.b", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
		{"a.*.c", "a.b", false},
		{"a.b", "a.b.c", false},
		{"a.b", "a.b", true},
	} {
		if !validPattern(it.pattern) {
			t.Errorf("pattern %q is not valid", it.pattern)
		}
		if got := matches(it.pattern, it.name); got != it.want {
			t.Errorf("matches(%q, %q) = %v, want %v", it.pattern, it.name, got, it.want)
		}
	}
	for _, p := range []string{"", "a.>.b", "a..b", "a*", ".>", "a/b"} {
		if validPattern(p) {
			t.Errorf("pattern %q must not be valid", p)
		}
	}
}
