package proto

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// step is what is wanted of one message on the way to the sources.
type step struct {
	fields map[protowire.Number]*want
}

// want is what is wanted of one field.
type want struct {
	field   protoreflect.FieldDescriptor
	columns []column // that it is a source of
	oneofs  []column // whose source is its oneof
	below   *step    // of the message in the field
	clears  []column // lost when it is set: those of other members of its oneof
}

// want enters a source in the steps that lead to it.
func (m *Mapping) want(c column, src source) {
	if len(src.path) == 0 && src.oneof == nil {
		return
	}
	if m.root == nil {
		m.root = newStep()
	}
	at := m.root
	for i, fd := range src.path {
		w := at.at(fd)
		if i == len(src.path)-1 && src.oneof == nil {
			w.columns = append(w.columns, c)
			return
		}
		if w.below == nil {
			w.below = newStep()
		}
		at = w.below
	}
	for i := range src.oneof.Fields().Len() {
		w := at.at(src.oneof.Fields().Get(i))
		w.oneofs = append(w.oneofs, c)
	}
}

func newStep() *step { return &step{fields: map[protowire.Number]*want{}} }

func (st *step) at(fd protoreflect.FieldDescriptor) *want {
	w := st.fields[fd.Number()]
	if w == nil {
		w = &want{field: fd}
		st.fields[fd.Number()] = w
	}
	return w
}

// exclude enters what each member of a oneof clears, members that nobody wants included.
func (st *step) exclude() {
	if st == nil {
		return
	}
	lost := map[*want][]column{}
	for _, w := range st.fields {
		w.below.exclude()
		lost[w] = w.all()
	}
	for w, all := range lost {
		if len(all) == 0 || !inOneof(w.field) {
			continue
		}
		members := w.field.ContainingOneof().Fields()
		for i := range members.Len() {
			if other := members.Get(i); other.Number() != w.field.Number() {
				o := st.at(other)
				o.clears = append(o.clears, all...)
			}
		}
	}
}

// all returns the columns that come from the field or from below it.
func (w *want) all() []column {
	all := append([]column(nil), w.columns...)
	if w.below == nil {
		return all
	}
	for _, below := range w.below.fields {
		all = append(all, below.all()...)
		all = append(all, below.oneofs...)
	}
	return all
}
