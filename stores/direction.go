package stores

// direction is that of reading by position.
type direction int

const (
	forward direction = iota
	backward
)

func directionOf(back bool) direction {
	if back {
		return backward
	}
	return forward
}

// before reports whether a reader gets to position a before b.
func (d direction) before(a, b uint64) bool {
	if d == backward {
		return a > b
	}
	return a < b
}

// after returns the position after p. After position 1, backward, there is 0.
func (d direction) after(p uint64) uint64 {
	if d == backward {
		return p - 1
	}
	return p + 1
}

// first returns whichever of two positions a reader gets to first.
func (d direction) first(a, b uint64) uint64 {
	if d.before(b, a) {
		return b
	}
	return a
}

// span returns the number of positions from a to b, both included; 0 if b is before a.
func (d direction) span(a, b uint64) uint64 {
	if d == backward {
		a, b = b, a
	}
	if b < a {
		return 0
	}
	return b - a + 1
}

// bounds returns the lower and the upper one of two positions.
func bounds(a, b uint64) (low, high uint64) { return min(a, b), max(a, b) }
