package sqlprojection

import (
	"fmt"
	"regexp"
	"strings"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// insert is what a statement is if it inserts one row of values into a table and touches nothing else: then the rows of several events can be
// inserted by one statement, which saves the round trips.
type insert struct {
	table        string
	before, row  []piece // INSERT INTO … VALUES, and (…)
	after        []piece // ON CONFLICT …
	updates      bool    // a row that exists
	key          []int   // indexes of the parameters that are the key of ON CONFLICT (…)
	keyUnknown   bool
	perStatement int // rows
}

const (
	maxRows       = 500
	maxParameters = 30_000 // below what each database takes
)

const marker = "\x00" // of a parameter

var (
	insertHead = regexp.MustCompile(`(?is)^\s*insert\s+(?:ignore\s+)?into\s+\{(\w+)\}\s*(?:\(([^()]*)\)\s*)?values\s*`)
	insertTail = regexp.MustCompile(`(?is)^\s*(?:$|on\s+conflict\b|on\s+duplicate\s+key\b)`)
	conflictOn = regexp.MustCompile(`(?is)^\s*on\s+conflict\s*\(([^()]*)\)`)
	doUpdate   = regexp.MustCompile(`(?is)\bdo\s+update\b`)
	forbidden  = regexp.MustCompile(`(?is)\b(?:select|returning)\b`)
	call       = regexp.MustCompile(`(?is)([\w"]+)\s*\(`)
)

// alone are the functions, and the other words before a parenthesis, whose result does not depend on what statements did before: LAST_INSERT_ID
// and currval would give the rows of several events one value.
var alone = regexp.MustCompile(`(?i)^(?:cast|coalesce|nullif|ifnull|greatest|least|min|max|abs|round|lower|upper|trim|length|concat|substr|substring|replace|now|json|json_object|json_array|json_extract|jsonb_build_object|to_timestamp|values|conflict|and|or|not|in|where|set|case|when|then|else|decimal|numeric|varchar|char|datetime|timestamp)$`)

// independent reports whether a part of a statement calls nothing whose result may depend on the statements before.
func independent(text string) bool {
	for _, name := range call.FindAllStringSubmatch(text, -1) {
		if !alone.MatchString(name[1]) {
			return false
		}
	}
	return true
}

// insertOf returns the insert that a statement is, or nil.
func insertOf(s *statement) *insert {
	text := s.marked()
	head := insertHead.FindStringSubmatch(text)
	if head == nil || forbidden.MatchString(text) || strings.Contains(head[0], marker) {
		return nil
	}
	end := closing(text, len(head[0]))
	if end < 0 {
		return nil
	}
	row, tail := text[len(head[0]):end], text[end:]
	if !insertTail.MatchString(tail) || strings.Contains(tail, marker) || strings.Contains(row, "{") || !strings.Contains(row, marker) {
		return nil
	}
	if !independent(row) || !independent(tail) {
		return nil
	}
	if strings.Contains(tail, "{") && strings.ContainsAny(tail, "'\"`") {
		return nil // the braces may be in the quotation
	}
	for _, name := range s.tables {
		if name != head[1] {
			return nil
		}
	}
	in := &insert{table: head[1], perStatement: min(maxRows, maxParameters/len(s.parameters)), updates: doUpdate.MatchString(tail)}
	in.before, in.row, in.after = pieces(head[0]), pieces(row), pieces(tail)
	in.key, in.keyUnknown = conflictKey(head[2], row, tail)
	return in
}

// marked returns the statement with its tables as {name} and a marker for each parameter.
func (s *statement) marked() string {
	var b strings.Builder
	for _, p := range s.pieces {
		switch {
		case p.table != "":
			b.WriteString("{" + p.table + "}")
		case p.parameter:
			b.WriteString(marker)
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// pieces is the reverse of marked, for a part of it without braces in quotation marks.
func pieces(text string) (list []piece) {
	for text != "" {
		switch at := strings.IndexAny(text, "{"+marker); {
		case at < 0:
			return append(list, piece{text: text})
		case at > 0:
			list = append(list, piece{text: text[:at]})
			text = text[at:]
		case text[0] == '{':
			end := strings.IndexByte(text, '}')
			if end < 0 || !reference.MatchString(text) {
				list, text = append(list, piece{text: "{"}), text[1:]
				continue
			}
			list, text = append(list, piece{table: text[1:end]}), text[end+1:]
		default:
			list, text = append(list, piece{parameter: true}), text[1:]
		}
	}
	return list
}

// closing returns the end of what the parenthesis at a place encloses, or -1.
func closing(text string, at int) int {
	if at >= len(text) || text[at] != '(' {
		return -1
	}
	for depth := 0; at < len(text); {
		if n := quoted(text[at:]); n > 0 {
			at += n
			continue
		}
		switch text[at] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return -1
}

// quoted returns the length of a quotation or comment at the beginning of a text.
func quoted(text string) int {
	if plain.MatchString(text) && text[0] != '-' && text[0] != '/' {
		return 0
	}
	return literal(text)
}

// conflictKey returns which parameters of the row are the key that ON CONFLICT names, and whether that cannot be told.
func conflictKey(columns, row, tail string) (key []int, unknown bool) {
	on := conflictOn.FindStringSubmatch(tail)
	if on == nil {
		return nil, true
	}
	values := elements(row[1 : len(row)-1])
	names := strings.Split(columns, ",")
	if len(names) != len(values) {
		return nil, true
	}
	for _, column := range strings.Split(on[1], ",") {
		found := -1
		parameters := 0
		for i, name := range names {
			if strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(column)) && strings.TrimSpace(values[i]) == marker {
				found = parameters
			}
			parameters += strings.Count(values[i], marker)
		}
		if found < 0 {
			return nil, true
		}
		key = append(key, found)
	}
	return key, false
}

// elements divides a list at its commas.
func elements(list string) (all []string) {
	depth, from := 0, 0
	for at := 0; at < len(list); {
		if n := quoted(list[at:]); n > 0 {
			at += n
			continue
		}
		switch list[at] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all, from = append(all, list[from:at]), at+1
			}
		}
		at++
	}
	return append(all, list[from:])
}

// mergeable reports whether rows of several events can go into one statement. PostgreSQL updates a row only once in a statement, so the key must
// be known.
func (in *insert) mergeable(dialect eventstore.Dialect) bool {
	return in != nil && (dialect != eventstore.PostgreSQL || !in.updates || !in.keyUnknown)
}

// text returns the statement for a number of rows.
func (in *insert) text(dialect eventstore.Dialect, generation, rows int) string {
	w := writer{dialect: dialect, generation: generation}
	w.write(in.before)
	for i := range rows {
		if i > 0 {
			w.b.WriteString(", ")
		}
		w.write(in.row)
	}
	w.b.WriteByte(' ')
	w.write(in.after)
	return w.b.String()
}

// keyOf returns the key of a row, for a map.
func (in *insert) keyOf(values []any) string {
	var b strings.Builder
	for _, i := range in.key {
		fmt.Fprintf(&b, "%T %v\x00", values[i], values[i])
	}
	return b.String()
}
