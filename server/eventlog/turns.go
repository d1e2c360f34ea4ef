package eventlog

// turns is a queue in which owners take turns, so that an owner with many items delays another by one item at a time.
type turns[T any] struct {
	owners map[string]*owned[T]
	order  fifo[*owned[T]] // owners with items; the first is next
	free   []*owned[T]     // for reuse
	n      int
}

// owned holds the items of an owner, in order of arrival.
type owned[T any] struct {
	owner string
	items fifo[T]
}

func (t *turns[T]) len() int { return t.n }

func (t *turns[T]) push(owner string, item T) {
	o := t.owners[owner]
	if o == nil {
		o = t.newOwned(owner)
		t.order.push(o)
	}
	o.items.push(item)
	t.n++
}

func (t *turns[T]) newOwned(owner string) *owned[T] {
	if t.owners == nil {
		t.owners = make(map[string]*owned[T])
	}
	o := &owned[T]{}
	if last := len(t.free) - 1; last >= 0 {
		o, t.free = t.free[last], t.free[:last]
	}
	o.owner = owner
	t.owners[owner] = o
	return o
}

// pop removes the next owner's first item. The queue must not be empty.
func (t *turns[T]) pop() T {
	o := t.order.pop()
	item := o.items.pop()
	t.n--
	if o.items.len() > 0 {
		t.order.push(o)
		return item
	}
	delete(t.owners, o.owner)
	const maxFree = 64
	if len(t.free) < maxFree {
		t.free = append(t.free, o)
	}
	return item
}
