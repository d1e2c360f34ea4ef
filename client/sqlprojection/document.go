package sqlprojection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// document is an event whose data is decoded as far as parameters ask for it.
type document struct {
	event   *eventstore.Event
	dialect eventstore.Dialect
	members map[string]json.RawMessage // of the data, once it was asked for
}

// at returns the JSON at a path, or errAbsent.
func (d *document) at(path []step) (json.RawMessage, error) {
	if d.members == nil {
		if err := json.Unmarshal(d.event.Payload, &d.members); err != nil {
			return nil, fmt.Errorf("the event's data is not a JSON object: %w", err)
		}
		if d.members == nil {
			d.members = map[string]json.RawMessage{} // null
		}
	}
	var at json.RawMessage
	for i, s := range path {
		var ok bool
		switch {
		case i == 0 && s.index < 0:
			at, ok = d.members[s.member]
		case i == 0:
			return nil, fmt.Errorf("the event's data is an object: begin with $.field")
		default:
			at, ok = s.of(at)
		}
		if !ok {
			return nil, errAbsent
		}
	}
	return at, nil
}

// of returns the JSON of a member or element, if the value has it.
func (s step) of(value json.RawMessage) (json.RawMessage, bool) {
	if s.index >= 0 {
		var elements []json.RawMessage
		if json.Unmarshal(value, &elements) != nil || s.index >= len(elements) {
			return nil, false
		}
		return elements[s.index], true
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(value, &members) != nil {
		return nil, false
	}
	at, ok := members[s.member]
	return at, ok
}

// sqlValue returns what to bind for a JSON value: a number as an integer or as decimal text, so that it stays exact; a string; a boolean;
// nil for null; an object or an array as JSON text.
func sqlValue(raw json.RawMessage, dialect eventstore.Dialect) (any, error) {
	raw = bytes.TrimSpace(raw)
	switch raw[0] { // it is valid JSON
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return string(raw), nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case 'n':
		return nil, nil
	}
	n := number(string(raw))
	if text, ok := n.(string); ok && dialect == eventstore.SQLite {
		return decimal(text), nil
	}
	return n, nil
}

// realDigits is how many digits a REAL of SQLite keeps.
const realDigits = 15

// decimal returns a float64 for a fraction that SQLite keeps exact as one, since it finds any text greater than any number. A longer one, and
// an integer that int64 does not hold, stay text.
func decimal(text string) any {
	digits := strings.Trim(strings.Replace(strings.TrimPrefix(text, "-"), ".", "", 1), "0")
	if f, err := strconv.ParseFloat(text, 64); err == nil && len(digits) <= realDigits && strings.Contains(text, ".") {
		return f
	}
	return text
}

// maxExponent bounds the length of a number that is written with an exponent. A longer one is bound as it is.
const maxExponent = 400

// number returns an int64 for a number that is one, however it is written, and decimal text for others.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	digits, negative := strings.CutPrefix(s, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(digits), "e")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > maxExponent || shift < -maxExponent {
			return s
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if shift >= 0 {
		fraction += strings.Repeat("0", max(shift-len(fraction), 0))
		whole, fraction = whole+fraction[:shift], fraction[shift:]
	} else {
		whole = strings.Repeat("0", max(-shift-len(whole), 0)) + whole
		cut := len(whole) + shift
		whole, fraction = whole[:cut], whole[cut:]+fraction
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if negative {
		whole = "-" + whole
	}
	if strings.Trim(fraction, "0") == "" {
		if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
			return n
		}
		return whole
	}
	return whole + "." + fraction
}
