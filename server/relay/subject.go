package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Template builds the subjects of events.
type Template struct {
	tokens [][]part
}

// part is a piece of a token: a literal, or the field of an event.
type part struct {
	literal string
	field   string // "": a literal
}

// The fields of a template. A type or channel keeps its dots, so it must fill its token.
const (
	fieldType          = "event_type"
	fieldChannel       = "channel"
	fieldAggregateType = "aggregate_type"
	fieldAggregateID   = "aggregate_id"
)

var (
	fields        = []string{fieldType, fieldChannel, fieldAggregateType, fieldAggregateID}
	severalTokens = []string{fieldType, fieldChannel}
)

// ParseTemplate parses a NATS subject in which {event_type}, {aggregate_type}, {aggregate_id} and {channel} stand for
// an event's values. {event_type} and {channel} keep their dots, which separate tokens, so each must stand alone
// between two dots.
func ParseTemplate(text string) (Template, error) {
	var t Template
	if text == "" {
		return t, errors.New("the subject is empty")
	}
	for token := range strings.SplitSeq(text, ".") {
		parts, err := parseToken(token)
		if err != nil {
			return t, fmt.Errorf("%q: %w", text, err)
		}
		t.tokens = append(t.tokens, parts)
	}
	return t, nil
}

func parseToken(token string) ([]part, error) {
	var parts []part
	for rest := token; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if literal != "" {
			if strings.ContainsAny(literal, "*>{} \t\r\n") || strings.HasPrefix(literal, "$") {
				return nil, fmt.Errorf("%q cannot be in a subject", literal)
			}
			parts = append(parts, part{literal: literal})
		}
		if !found {
			break
		}
		field, more, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(fields, field) {
			return nil, fmt.Errorf("{%s} must be one of {%s}", field, strings.Join(fields, "}, {"))
		}
		if slices.Contains(severalTokens, field) && token != "{"+field+"}" {
			return nil, fmt.Errorf("{%s} must stand alone between two dots", field)
		}
		parts = append(parts, part{field: field})
		rest = more
	}
	if len(parts) == 0 {
		return nil, errors.New("a token is empty")
	}
	return parts, nil
}

// Check reports why a template cannot serve events whose types match the patterns.
func (t Template) Check(types []string) error {
	for _, p := range t.Patterns(types) {
		first, _, _ := strings.Cut(p, ".")
		switch {
		case first == ">" || first == "*":
			return errors.New("it begins with a field, so the stream would receive every subject: begin with a word, or list the types")
		case strings.HasPrefix(first, "_STAN") || strings.HasPrefix(first, "_INBOX"):
			return fmt.Errorf("%s is reserved for NATS", first)
		}
	}
	return nil
}

// Collides reports whether two templates, for events of their types, can build the same subject.
func (t Template) Collides(types []string, other Template, otherTypes []string) bool {
	for _, one := range t.Patterns(types) {
		if slices.ContainsFunc(other.Patterns(otherTypes), func(p string) bool { return natsd.SubjectsCollide(one, p) }) {
			return true
		}
	}
	return false
}

// subject returns the subject of an event.
func (t Template) subject(e *event) string { return t.fill(&e.Event, e.channel, notInSubjects) }

// Channel returns the channel that a template names for an event of a channel.
func (t Template) Channel(channel string, ev *proto.Event) string {
	return t.fill(ev, channel, notInSubjects+"/")
}

// notInSubjects are the characters that a token of a subject cannot have, or that mean something there.
const notInSubjects = ".*>$%"

func (t Template) fill(e *proto.Event, channel, special string) string {
	var b strings.Builder
	for i, parts := range t.tokens {
		if i > 0 {
			b.WriteByte('.')
		}
		for _, p := range parts {
			switch p.field {
			case "":
				b.WriteString(p.literal)
			case fieldType:
				b.WriteString(escapeTokens(e.Type, special))
			case fieldChannel:
				b.WriteString(escapeTokens(channel, special))
			case fieldAggregateType:
				b.WriteString(escapeToken(e.AggregateType, special))
			case fieldAggregateID:
				b.WriteString(escapeToken(e.AggregateID, special))
			}
		}
	}
	return b.String()
}

// Patterns returns wildcard subjects that cover the subjects of all events with the types.
func (t Template) Patterns(types []string) []string {
	if len(types) == 0 {
		types = []string{">"}
	}
	var all []string
	for _, typ := range types {
		var tokens []string
		rest := false // the pattern ended with >, which must be last
		for _, parts := range t.tokens {
			switch {
			case parts[0].field == fieldType:
				for token := range strings.SplitSeq(typ, ".") {
					if strings.HasSuffix(token, "*") {
						token = "*"
					} else if token != ">" {
						token = escapeToken(token, notInSubjects)
					}
					tokens = append(tokens, token)
				}
				rest = tokens[len(tokens)-1] == ">"
			case parts[0].field == fieldChannel:
				tokens, rest = append(tokens, ">"), true
			case len(parts) == 1 && parts[0].field == "":
				tokens = append(tokens, parts[0].literal)
			default:
				tokens = append(tokens, "*")
			}
			if rest {
				break
			}
		}
		all = append(all, strings.Join(tokens, "."))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Doubles returns the word in front of {event_type} if the type begins with that word, too, so that the subject has it twice.
func (t Template) Doubles(eventType string) string {
	for i, parts := range t.tokens {
		if parts[0].field == fieldType && i > 0 && len(t.tokens[i-1]) == 1 {
			if word := t.tokens[i-1][0].literal; word != "" && strings.HasPrefix(eventType, word+".") {
				return word
			}
		}
	}
	return ""
}

// escapeTokens escapes each token of a dotted value.
func escapeTokens(value, special string) string {
	if !strings.Contains(value, ".") {
		return escapeToken(value, special)
	}
	tokens := strings.Split(value, ".")
	for i := range tokens {
		tokens[i] = escapeToken(tokens[i], special)
	}
	return strings.Join(tokens, ".")
}

// escapeToken turns any value into one token: special bytes become %XX, an empty value becomes _.
func escapeToken(value, special string) string {
	if value == "" {
		return "_"
	}
	return escape(value, special)
}

// escape writes special characters, and bytes that are not visible ASCII, as %XX.
func escape(value, special string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(special, c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ValidStream returns an error if name is not a valid stream name.
func ValidStream(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, ". *>/\\\t\r\n") {
		return fmt.Errorf("%q is not a valid stream name", name)
	}
	return nil
}
