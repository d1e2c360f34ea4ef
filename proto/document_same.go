package proto

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// sameEvent compares documents by their values: the order of members, white space, escapes and the notation of numbers do
// not matter. A version that one document leaves to the server is assigned as the other one has it.
func (d *documents) sameEvent(a, b []byte) bool {
	x, okX := d.versioned(a)
	y, okY := d.versioned(b)
	if !okX || !okY || x != y && x != 0 && y != 0 {
		return false
	}
	version := max(x, y, 1)
	return sameDocument(d.appendVersion(a, version), d.appendVersion(b, version))
}

// versioned returns the version in a document, and false if it is not valid.
func (d *documents) versioned(doc []byte) (uint64, bool) {
	s := documentScan{doc: doc}
	if s.scan(d.root, d.nodes) != nil {
		return 0, false
	}
	version, err := d.version(&s)
	return version, err == nil
}

// sameDocument compares two valid documents.
func sameDocument(a, b []byte) bool {
	x, errX := decodeDocument(a)
	y, errY := decodeDocument(b)
	return errX == nil && errY == nil && sameValue(x, y)
}

func decodeDocument(doc []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, ok := y[name]; !ok || !sameValue(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameValue(x[i], y[i]) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := b.(json.Number)
		return ok && (x == y || sameNumber(string(x), string(y)))
	}
	return a == b
}

// sameNumber reports whether two JSON numbers are equal, whatever their size.
func sameNumber(a, b string) bool {
	negativeA, digitsA, exponentA := decimal(a)
	negativeB, digitsB, exponentB := decimal(b)
	return digitsA == digitsB && (digitsA == "" || negativeA == negativeB && exponentA == exponentB)
}

// decimal returns a number as ±0.digits × 10^exponent, without zeros at either end of the digits. The digits of 0 are empty.
// A number with a huge exponent is its own digits.
func decimal(number string) (negative bool, digits string, exponent int64) {
	mantissa, power, scientific := strings.Cut(strings.ToLower(number), "e")
	if scientific {
		var err error
		if exponent, err = strconv.ParseInt(power, 10, 62); err != nil {
			return false, number, 0
		}
	}
	mantissa, negative = strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent += int64(len(digits) - len(fraction))
	return negative, strings.TrimRight(digits, "0"), exponent
}
