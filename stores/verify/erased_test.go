package verify

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestReadErased(t *testing.T) {
	t.Parallel()
	erased, err := ReadErased(strings.NewReader("# court order\n\n7 a\n5-6|a\n1\ta\n 9 | with space \n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Erased{"a": {{1, 1}, {5, 7}}, "with space": {{9, 9}}}
	if !maps.EqualFunc(erased, want, func(a, b Ranges) bool { return slices.Equal(a, b) }) {
		t.Errorf("%v, want %v", erased, want)
	}
	for _, line := range []string{"a", "0 a", "7-6 a", "x a", "7- a", "7 ", "-7 a"} {
		if _, err := ReadErased(strings.NewReader("1 a\n" + line)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: error %v", line, err)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	rs := Ranges{{2, 3}, {6, 6}, {9, 12}}
	for _, test := range []struct {
		of              Range
		within, without Ranges
	}{
		{Range{1, 1}, nil, Ranges{{1, 1}}},
		{Range{1, 20}, rs, Ranges{{1, 1}, {4, 5}, {7, 8}, {13, 20}}},
		{Range{3, 9}, Ranges{{3, 3}, {6, 6}, {9, 9}}, Ranges{{4, 5}, {7, 8}}},
		{Range{10, 11}, Ranges{{10, 11}}, nil},
		{Range{13, 14}, nil, Ranges{{13, 14}}},
	} {
		if got := rs.within(test.of); !slices.Equal(got, test.within) {
			t.Errorf("within %v: %v, want %v", test.of, got, test.within)
		}
		if got := rs.without(test.of); !slices.Equal(got, test.without) {
			t.Errorf("without %v: %v, want %v", test.of, got, test.without)
		}
	}
}
