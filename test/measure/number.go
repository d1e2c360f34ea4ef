package measure

import (
	"slices"
	"strconv"
)

// Number writes 12345.6 as "12,346", 1.234 as "1.23".
func Number(v float64) string {
	digits := 0
	switch {
	case v != 0 && v < 9.995:
		digits = 2
	case v != 0 && v < 99.95:
		digits = 1
	}
	return grouped(strconv.FormatFloat(v, 'f', digits, 64))
}

// Count writes 12345 as "12,345".
func Count(n int) string { return grouped(strconv.Itoa(n)) }

// grouped separates thousands.
func grouped(s string) string {
	for i := len(wholeOf(s)) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wholeOf is what is before the point.
func wholeOf(s string) string {
	for i := range s {
		if s[i] == '.' {
			return s[:i]
		}
	}
	return s
}

// Median returns the middle of values, which it sorts. There must be at least one.
func Median(values []float64) float64 {
	slices.Sort(values)
	if len(values)%2 == 1 {
		return values[len(values)/2]
	}
	return (values[len(values)/2-1] + values[len(values)/2]) / 2
}
