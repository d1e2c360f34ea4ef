package stores

import "encoding/binary"

// Object identifiers of types, from PostgreSQL's pg_type.dat.
const (
	oidBytea = 17
	oidInt8  = 20
	oidInt4  = 23
	oidText  = 25
)

// array is a one-dimensional array in PostgreSQL's binary format (array_recv in its source). It begins with dimensions,
// whether there are NULLs, type, length and lower bound. The length and the bytes of each element follow.
type array struct{ buf []byte }

const arrayHasNulls = 7 // the low byte of the second field

func newArray(oid uint32, n, size int) *array {
	buf := make([]byte, 0, 20+4*n+size)
	for _, field := range []uint32{1, 0, oid, uint32(n), 1} {
		buf = binary.BigEndian.AppendUint32(buf, field)
	}
	return &array{buf}
}

func (a *array) null() {
	a.buf[arrayHasNulls] = 1
	a.buf = append(a.buf, 0xff, 0xff, 0xff, 0xff)
}

func (a *array) int4(v int32) {
	a.buf = binary.BigEndian.AppendUint32(a.buf, 4)
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(v))
}

func (a *array) int8(v int64) {
	a.buf = binary.BigEndian.AppendUint32(a.buf, 8)
	a.buf = binary.BigEndian.AppendUint64(a.buf, uint64(v))
}

// int8OrNull adds NULL for 0.
func (a *array) int8OrNull(v uint64) {
	if v == 0 {
		a.null()
		return
	}
	a.int8(int64(v))
}

func (a *array) bytes(v []byte) {
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(len(v)))
	a.buf = append(a.buf, v...)
}

func (a *array) bytesOrNull(v []byte) {
	if v == nil {
		a.null()
		return
	}
	a.bytes(v)
}

func (a *array) text(v string) {
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(len(v)))
	a.buf = append(a.buf, v...)
}

func (a *array) textOrNull(v string) {
	if v == "" {
		a.null()
		return
	}
	a.text(v)
}
