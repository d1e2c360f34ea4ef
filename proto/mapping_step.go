package proto

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// step lists the fields of one message type to read on the way to the sources.
type step struct {
	fields map[protowire.Number]*want
}

// want is a field to read.
type want struct {
	field   protoreflect.FieldDescriptor
	columns []column // columns whose source is this field
	oneofs  []column // columns whose source is this field's oneof
	below   *step    // fields to read in this field's message
	clears  []column // columns that lose their value when this field is set, because another member of its oneof is unset
}

// addSource adds a column's source to the steps that lead to it.
func (m *messages) addSource(c column, src source) {
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

// get returns the want for a field number, nil if the field is not read.
func (st *step) get(num protowire.Number) *want {
	if st == nil {
		return nil
	}
	return st.fields[num]
}

// at returns the want for a field, and adds one if needed.
func (st *step) at(fd protoreflect.FieldDescriptor) *want {
	w := st.fields[fd.Number()]
	if w == nil {
		w = &want{field: fd}
		st.fields[fd.Number()] = w
	}
	return w
}

// addClears sets clears in all members of oneofs, including members that are not a source.
func (st *step) addClears() {
	if st == nil {
		return
	}
	cleared := map[*want][]column{}
	for _, w := range st.fields {
		w.below.addClears()
		cleared[w] = w.all()
	}
	for w, all := range cleared {
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

// all returns the columns whose source is the field or below it.
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
