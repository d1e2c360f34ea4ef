package settings

import (
	"fmt"
	"strings"
)

// nearest returns the name that was probably meant, or "" if none is near: one letter in three may be wrong.
func nearest(name string, names []string) string {
	best, least := "", len(name)/3+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// didYouMean returns the end of an error about an unknown name: "" if no name is near.
func didYouMean(prefix, name string, names []string) string {
	if n := nearest(name, names); n != "" {
		return fmt.Sprintf(": did you mean %s%s?", prefix, n)
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			wrong := 0
			if a[i] != b[j] {
				wrong = 1
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+wrong)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
