package verify

import (
	"bytes"
	"encoding/json"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// sameJSON reports whether two documents mean the same, because PostgreSQL and MySQL do not keep the text they were
// given. An empty text is NULL.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	return proto.SameJSON(a, b, sameNumber)
}

// sameNumber compares two numbers. PostgreSQL keeps each digit; MySQL turns fractions and large numbers into doubles.
func sameNumber(a, b json.Number) bool {
	if proto.SameNumber(a, b) {
		return true
	}
	f, errF := a.Float64()
	g, errG := b.Float64()
	return errF == nil && errG == nil && f == g && (!proto.IsInteger(a) || !proto.IsInteger(b))
}
