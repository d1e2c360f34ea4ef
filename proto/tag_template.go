package proto

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tagTemplate makes tags from the values at sources, such as "customer:{customer.id}".
type tagTemplate struct {
	literals []string // around the sources, one more than those
	sources  []int    // in the format's list of sources
}

// tagValues are the texts at one source, each once. None means that the payload has no value.
type tagValues struct {
	texts []string
	list  bool  // the source is a list, or in one
	err   error // a value is neither a text nor an integer
}

func (v *tagValues) add(text string) {
	// One more than an event can have is enough to refuse it.
	if text != "" && len(v.texts) <= MaxTags && !slices.Contains(v.texts, text) {
		v.texts = append(v.texts, text)
	}
}

// parseTags parses the configured tags. A format parses their sources, and keeps them by index.
func parseTags(tags []string, source func(text string) (int, error)) ([]tagTemplate, error) {
	var all []tagTemplate
	known := map[string]int{}
	once := func(text string) (i int, err error) {
		i, ok := known[text]
		if !ok {
			i, err = source(text)
			known[text] = i
		}
		return i, err
	}
	for _, text := range tags {
		t, err := parseTagTemplate(strings.TrimSpace(text), once)
		if err != nil {
			return nil, fmt.Errorf("tags: %q: %w", text, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// parseTagTemplate parses a text with sources in braces, a source alone, or a constant.
func parseTagTemplate(text string, source func(text string) (int, error)) (tagTemplate, error) {
	if text == "" {
		return tagTemplate{}, errors.New(`is empty: write a text with sources in braces, such as "customer:{customer.id}"`)
	}
	if text[0] == '=' {
		constant, err := parseConstant(text)
		if err == nil {
			err = checkLiteral(constant)
		}
		return tagTemplate{literals: []string{constant}}, err
	}
	if !strings.ContainsAny(text, "{}") {
		text = "{" + text + "}"
	}
	var t tagTemplate
	for {
		literal, rest, found := strings.Cut(text, "{")
		if err := checkLiteral(literal); err != nil {
			return t, err
		}
		t.literals = append(t.literals, literal)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		name = strings.TrimSpace(name)
		switch {
		case !closed:
			return t, fmt.Errorf("{%s has no closing brace", name)
		case name == "" || name[0] == '=':
			return t, fmt.Errorf("{%s} is not a source: name a field or a member", name)
		}
		i, err := source(name)
		if err != nil {
			return t, err
		}
		t.sources = append(t.sources, i)
		text = after
	}
}

// checkLiteral checks the text around sources.
func checkLiteral(text string) error {
	switch {
	case strings.Contains(text, "}"):
		return errors.New("} has no opening brace")
	case !utf8.ValidString(text) || bytes.ContainsFunc([]byte(text), unicode.IsControl):
		return errors.New("the text must be valid UTF-8 without control characters")
	case len(text) > MaxTag:
		return fmt.Errorf("the text is longer than %d bytes", MaxTag)
	}
	return nil
}

// tagsOf returns the tags that templates make from the values of their sources. The error is for a new event.
func tagsOf(templates []tagTemplate, values []tagValues, strict bool) ([]string, error) {
	set := tagSet{strict: strict}
	for i := range templates {
		if err := templates[i].addTo(&set, values); err != nil && strict {
			return nil, err
		}
	}
	return set.list, nil
}

// addTo adds a tag, one for each element of a list, or none if the payload has no value at a source.
func (t *tagTemplate) addTo(set *tagSet, values []tagValues) error {
	missing := false
	for _, source := range t.sources {
		if values[source].err != nil {
			return values[source].err
		}
		missing = missing || len(values[source].texts) == 0
	}
	if missing {
		return nil
	}
	list, n := -1, 1
	for _, source := range t.sources {
		switch v := &values[source]; {
		case !v.list:
		case list >= 0 && list != source:
			return errTwoLists
		default:
			list, n = source, len(v.texts)
		}
	}
	for element := range n {
		tag := []byte(t.literals[0])
		for i, source := range t.sources {
			text := values[source].texts
			if source == list {
				text = text[element:]
			}
			tag = append(append(tag, text[0]...), t.literals[i+1]...)
		}
		if err := set.add(tag); err != nil {
			return err
		}
	}
	return nil
}

var errTwoLists = &InvalidError{Field: fieldOfTags, Reason: "cannot combine two lists: map them to different tags"}
