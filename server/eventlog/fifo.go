package eventlog

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int    { return len(f.items) - f.head }
func (f *fifo[T]) first() T    { return f.items[f.head] }
func (f *fifo[T]) push(item T) { f.items = append(f.items, item) }

func (f *fifo[T]) pop() T {
	var none T
	item := f.items[f.head]
	f.items[f.head] = none // let it be collected
	f.head++
	switch {
	case f.head == len(f.items):
		f.items, f.head = f.items[:0], 0
	case f.head >= 32 && f.head > len(f.items)/2:
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	return item
}

// unpop puts an item back at the front.
func (f *fifo[T]) unpop(item T) {
	if f.head == 0 {
		f.items = append(f.items, item)
		copy(f.items[1:], f.items)
		f.items[0] = item
		return
	}
	f.head--
	f.items[f.head] = item
}

// filter keeps the items for which keep returns true.
func (f *fifo[T]) filter(keep func(T) bool) {
	kept := f.items[:0]
	for _, item := range f.items[f.head:] {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	clear(f.items[len(kept):])
	f.items, f.head = kept, 0
}
