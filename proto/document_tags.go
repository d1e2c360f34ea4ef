package proto

import (
	"errors"
	"fmt"
	"strings"
)

// addTags parses the templates of tags, and marks the nodes on the way to their sources.
func (d *documents) addTags(tags []string) (err error) {
	d.templates, err = parseTags(tags, func(text string) (int, error) {
		if strings.Contains(text, "[*]") {
			return 0, errors.New("leave [*] out: a list stands for each of its elements")
		}
		src, err := d.parseSource(text)
		if err == nil && len(src.names) == 0 {
			err = errors.New("must be a member, such as $.customer.id")
		}
		if err != nil {
			return 0, err
		}
		for _, n := range src.nodes {
			n.tags = append(n.tags, len(d.tags))
		}
		d.tags = append(d.tags, src)
		return len(d.tags) - 1, nil
	})
	return err
}

// checkTagOverlaps is checkOverlaps for the sources of tags.
func (d *documents) checkTagOverlaps() error {
	for i := range d.tags {
		tag := &d.tags[i]
		for c := range columns {
			src := &d.sources[c]
			if c == columnData || c == columnMetadata || src.nodes == nil {
				continue
			}
			switch same := tag.contains(src) && src.contains(tag); {
			case same && c == columnVersion:
				return fmt.Errorf("tags: %s is event_version, too, which the server may assign: name another member", shownPath(tag.names))
			case same:
			case tag.contains(src):
				return fmt.Errorf("%s: %s is inside %s, of tags, which is a text, a number or a list of them: name other members",
					columnNames[c], shownPath(src.names), shownPath(tag.names))
			case src.contains(tag):
				return fmt.Errorf("tags: %s is inside %s, the %s, which is a text or a number: name other members",
					shownPath(tag.names), shownPath(src.names), columnNames[c])
			}
		}
		for j := range d.tags {
			if other := &d.tags[j]; tag.contains(other) && !other.contains(tag) {
				return fmt.Errorf("tags: %s is inside %s, which is a text, a number or a list of them: name other members",
					shownPath(other.names), shownPath(tag.names))
			}
		}
	}
	return nil
}

// tag notes a value on the way to sources of tags. A list stands for each of its elements.
func (s *documentScan) tag(n *node, value []byte) {
	for _, i := range n.tags {
		v, src := &s.tags[i], &s.sources[i]
		leaf := src.nodes[len(src.nodes)-1] == n
		switch first := value[0]; {
		case first == 'n':
		case first == '[':
			v.list = true
		case !leaf: // an object; anything else has no value at the source
		case first == '"':
			v.add(string(unquote(value)))
		case isIntegerText(value):
			if string(value) == "-0" {
				value = value[1:]
			}
			v.add(string(value))
		case v.err == nil:
			v.err = &InvalidError{Field: fieldOfTags, Reason: "need a text or an integer: " + shownPath(src.names) + " is " + shownValue(value)}
		}
	}
}
