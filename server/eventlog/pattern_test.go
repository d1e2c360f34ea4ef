package eventlog

import (
	"slices"
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
		if got := ValidChannel(name); got != want {
			t.Errorf("ValidChannel(%q) = %v, want %v", name, got, want)
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
		if !ValidPattern(it.pattern) {
			t.Errorf("pattern %q is not valid", it.pattern)
		}
		if got := Matches(it.pattern, it.name); got != it.want {
			t.Errorf("Matches(%q, %q) = %v, want %v", it.pattern, it.name, got, it.want)
		}
	}
	for _, p := range []string{"", "a.>.b", "a..b", "a*", ".>", "a/b"} {
		if ValidPattern(p) {
			t.Errorf("pattern %q must not be valid", p)
		}
	}
}

// The functions of nats-server agree with a search over small names.
func TestPatternsOfSets(t *testing.T) {
	t.Parallel()
	grow := func(depth int, tokens ...string) (all []string) {
		for range depth {
			longer := slices.Clone(tokens)
			for _, p := range all {
				for _, token := range tokens {
					longer = append(longer, p+"."+token)
				}
			}
			all = longer
		}
		return all
	}
	names := grow(4, "a", "b c", "é")
	patterns := slices.DeleteFunc(grow(3, "a", "é", "*", ">"), func(p string) bool { return !ValidPattern(p) })
	for _, p := range patterns {
		for _, q := range patterns {
			both, covers := false, true
			for _, name := range names {
				inP, inQ := Matches(p, name), Matches(q, name)
				both = both || inP && inQ
				covers = covers && (inP || !inQ)
			}
			if got := Overlap(p, q); got != both {
				t.Errorf("Overlap(%q, %q) = %v", p, q, got)
			}
			if got := Covers(p, q); got != covers {
				t.Errorf("Covers(%q, %q) = %v", p, q, got)
			}
		}
	}
}
