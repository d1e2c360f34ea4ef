package eventlog

// turns is a queue in which owners take turns: what one owner has many of delays another owner by one item of each.
type turns[T any] struct {
	owners map[string]*owned[T]
	order  fifo[*owned[T]] // those with items; the first is next
	free   []*owned[T]     // reused
	n      int
}

// owned is the items of an owner, by arrival.
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

// pop removes the first item of the owner whose turn it is. There must be one.
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
