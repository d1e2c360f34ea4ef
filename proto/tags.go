package proto

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// MaxTags is the maximum number of different tags of a new event.
const MaxTags = 64

// MaxTag is the maximum length of a tag in bytes.
const MaxTag = 255

// tagSet collects the tags of an event.
type tagSet struct {
	strict bool // an invalid tag is an error; otherwise it is left out
	list   []string
}

// add adds a tag, unless the set has it.
func (s *tagSet) add(tag []byte) error {
	err := checkTag(tag)
	switch {
	case err == nil && slices.Contains(s.list, string(tag)):
		return nil
	case err == nil && len(s.list) == MaxTags:
		err = ErrTags
	case err == nil:
		s.list = append(s.list, string(tag))
		return nil
	}
	if s.strict {
		return err
	}
	return nil
}

// checkTag returns an error if no new event may have the tag.
func checkTag(tag []byte) error {
	switch {
	case len(tag) == 0:
		return errTag("an empty tag: leave it out")
	case len(tag) > MaxTag:
		return errTag(fmt.Sprintf("%s of %d bytes: shorten it to %d", shownTag(tag), len(tag), MaxTag))
	case !utf8.Valid(tag):
		return errTagUTF8(tag)
	case bytes.ContainsFunc(tag, unicode.IsControl):
		return errTag(shownTag(tag) + " with a control character: remove it")
	}
	return nil
}

func errTag(contained string) error {
	return &InvalidError{Field: fieldOfTags, Reason: "contain " + contained}
}

func errTagUTF8(tag []byte) error {
	return errTag(shownTag(tag) + ", which is not valid UTF-8: encode tags as UTF-8")
}

const fieldOfTags = "tags"

// shownTag is the beginning of a tag, as errors show it.
func shownTag(tag []byte) string {
	const most = 40
	if len(tag) > most {
		return strconv.Quote(string(tag[:most])) + "…"
	}
	return strconv.Quote(string(tag))
}

// Extra is the memory in bytes of what can be many times longer than in the payload: metadata as JSON, and tags that a Mapping
// made.
func (e *Event) Extra() int {
	size := len(e.Metadata)
	for _, tag := range e.Tags {
		size += stringHeader + len(tag)
	}
	return size
}

const stringHeader = 16 // bytes beside the text

// Tags returns what counts of an event's tags: each valid one once, in order.
func Tags(tags []string) []string {
	var set tagSet
	for _, tag := range tags {
		_ = set.add([]byte(tag)) // an invalid one is left out
	}
	return set.list
}
