package proto

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// MaxJSONKey is the maximum length of a key in a JSON object, in bytes as written.
// MySQL stores the length in 16 bits.
const MaxJSONKey = 65535

// Limits of a JSON number, as written. PostgreSQL's numeric holds longer numbers, but a
// double does not.
const (
	maxNumber         = 300 // bytes
	maxExponentDigits = 3
)

// JSON returns the JSON text that is stored for event_data:
//
//   - nil for empty data (SQL NULL);
//   - data itself, not a copy, if it is JSON (RFC 8259) that every database accepts;
//   - otherwise a JSON string of the data's standard base64 with padding
//     (RFC 4648 section 4): protobuf, Avro, text, or JSON that a database refuses.
//
// Some databases refuse:
//
//   - invalid UTF-8, an escaped NUL (\u0000), and half of a surrogate pair;
//   - arrays and objects nested deeper than maxDepth (a scalar has depth 0, []
//     depth 1);
//   - keys longer than MaxJSONKey;
//   - numbers of more than 300 bytes, with more than three digits of exponent, or
//     out of the range of a double.
//
// A base64 string looks like a JSON string that was published as such. The column
// data distinguishes them: it holds the unchanged payload.
func JSON(data []byte, maxDepth int) []byte {
	if len(data) == 0 {
		return nil
	}
	if storable(data, maxDepth) {
		return data
	}
	return base64JSON(data)
}

func base64JSON(data []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"')
}

// storable reports whether every database accepts data as JSON. It runs for every
// published event: encoding/json takes twice as long and does not detect what
// databases refuse. Tests compare the two.
func storable(data []byte, maxDepth int) bool {
	i := scanValue(data, skipSpace(data, 0), maxDepth)
	return i >= 0 && skipSpace(data, i) == len(data)
}

// Each scan function takes the index of the first byte of an element and returns the
// index after its last byte, or -1 if the element is not storable.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func scanValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '{':
		return scanObject(b, i+1, depth-1)
	case '[':
		return scanArray(b, i+1, depth-1)
	case '"':
		return scanString(b, i+1)
	case 't':
		return scanLiteral(b, i, "true")
	case 'f':
		return scanLiteral(b, i, "false")
	case 'n':
		return scanLiteral(b, i, "null")
	}
	return scanNumber(b, i)
}

func scanLiteral(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return -1
}

func scanObject(b []byte, i, depth int) int {
	if depth < 0 {
		return -1
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		end := scanString(b, i+1)
		if end < 0 || end-i-2 > MaxJSONKey {
			return -1
		}
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ':' {
			return -1
		}
		if i = scanValue(b, skipSpace(b, i+1), depth); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

func scanArray(b []byte, i, depth int) int {
	if depth < 0 {
		return -1
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = scanValue(b, i, depth); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

// scanString starts after the opening quote.
func scanString(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = scanEscape(b, i+1); i < 0 {
				return -1
			}
		case c < ' ':
			return -1
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return -1
			}
			i += n
		}
	}
	return -1
}

// scanEscape starts after the backslash.
func scanEscape(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
	default:
		return -1
	}
	r, ok := hex4(b, i+1)
	switch {
	case !ok, r == 0, r >= 0xDC00 && r < 0xE000:
		return -1
	case r < 0xD800 || r >= 0xE000:
		return i + 5
	}
	if i += 5; i+1 >= len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	if low, ok := hex4(b, i+2); !ok || low < 0xDC00 || low >= 0xE000 {
		return -1
	}
	return i + 6
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func scanDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func scanNumber(b []byte, i int) int {
	mantissa, exponent, end := scanNumeral(b, i)
	// Without an exponent, the length limit keeps a number in the range of a double.
	if end < 0 || end-i > maxNumber || exponent > 0 && (end-exponent > maxExponentDigits || !isDouble(b[i:end], b[i:mantissa])) {
		return -1
	}
	return end
}

// scanNumeral scans a number of any size. It returns the end of the mantissa and the first digit of the exponent, 0 without
// one.
func scanNumeral(b []byte, i int) (mantissa, exponent, end int) {
	if b[i] == '-' {
		i++
	}
	first := i
	if i = scanDigits(b, i); i == first || (b[first] == '0' && i > first+1) {
		return 0, 0, -1
	}
	if i < len(b) && b[i] == '.' {
		point := i + 1
		if i = scanDigits(b, point); i == point {
			return 0, 0, -1
		}
	}
	mantissa = i
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent = i
		if i = scanDigits(b, i); i == exponent {
			return 0, 0, -1
		}
	}
	return mantissa, exponent, i
}

// isDouble reports whether number neither overflows a double nor rounds to zero.
func isDouble(number, mantissa []byte) bool {
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f != 0 {
		return err == nil
	}
	for _, c := range mantissa {
		if c >= '1' && c <= '9' {
			return false
		}
	}
	return true
}
