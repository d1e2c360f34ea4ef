package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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
func sameDocument(a, b []byte) bool { return SameJSON(a, b, SameNumber) }

// SameJSON reports whether two texts are JSON documents with the same value; number compares their numbers. The order of
// members does not matter.
func SameJSON(a, b []byte, number func(x, y json.Number) bool) bool {
	x, errX := decodeDocument(a)
	y, errY := decodeDocument(b)
	return errX == nil && errY == nil && sameValue(x, y, number)
}

func decodeDocument(doc []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber() // an amount of money is not a double
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return value, nil
}

func sameValue(a, b any, number func(x, y json.Number) bool) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, ok := y[name]; !ok || !sameValue(value, other, number) {
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
			if !sameValue(x[i], y[i], number) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := b.(json.Number)
		return ok && (x == y || number(x, y))
	}
	return a == b
}

// SameNumber reports whether two JSON numbers are equal, whatever their size.
func SameNumber(a, b json.Number) bool {
	negativeA, digitsA, exponentA := decimal(a.String())
	negativeB, digitsB, exponentB := decimal(b.String())
	return digitsA == digitsB && (digitsA == "" || negativeA == negativeB && exponentA == exponentB)
}

// IsInteger reports whether a JSON number is one without a fraction.
func IsInteger(n json.Number) bool {
	_, digits, exponent := decimal(n.String())
	return int64(len(digits)) <= exponent || digits == ""
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
