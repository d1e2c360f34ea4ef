package proto

import (
	"slices"
	"strconv"
)

// growth is the most that appendVersion adds: the missing objects around the version, names with escapes, and its digits.
func (d *documents) growth() int {
	size := 0
	for _, name := range d.sources[columnVersion].names {
		size += len(appendString(nil, []byte(name))) + len(`,:{}`)
	}
	if size == 0 {
		return 0
	}
	return size + maxVersionDigits
}

const maxVersionDigits = len("9223372036854775807")

// appendVersion writes the version in place of the member's value, which is 0 or null, or adds the member and the objects around it. All other bytes
// stay as they were published. It returns payload itself if event_version has no source, or a value on its path is not an
// object.
func (d *documents) appendVersion(payload []byte, version uint64) []byte {
	src := &d.sources[columnVersion]
	if len(src.names) == 0 {
		return payload
	}
	s := documentScan{doc: payload}
	if s.scan(d.root, d.nodes) != nil {
		return payload
	}
	at := 0 // the deepest member on the path that exists
	for at+1 < len(src.nodes) && s.found[src.nodes[at+1].index].end > 0 {
		at++
	}
	here := s.found[src.nodes[at].index]
	text := strconv.AppendUint(nil, version, 10)
	missing := src.names[at:]
	first := payload[here.start]
	switch {
	case len(missing) == 0 || first == 'n':
		return slices.Replace(slices.Clone(payload), here.start, here.end, wrapped(missing, text)...)
	case first != '{':
		return payload
	}
	addition := wrapped(missing, text)
	addition = addition[1 : len(addition)-1] // the member without the braces of its object, which exists
	if here.members > 0 {
		addition = slices.Concat([]byte{','}, addition)
	}
	return slices.Insert(slices.Clone(payload), here.end-1, addition...)
}

// wrapped returns a value inside an object for each name.
func wrapped(names []string, value []byte) []byte {
	var out []byte
	for _, name := range names {
		out = append(appendString(append(out, '{'), []byte(name)), ':')
	}
	out = append(out, value...)
	for range names {
		out = append(out, '}')
	}
	return out
}
