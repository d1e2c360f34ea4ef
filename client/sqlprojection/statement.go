package sqlprojection

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// statement is a SQL statement between whose pieces of text are tables and parameters.
type statement struct {
	pieces     []piece
	parameters []*parameter // in their order in the text
	tables     []string
	insert     *insert // nil: it does not only insert one row
}

// piece is a piece of text, a table or the place of a parameter.
type piece struct {
	text      string
	table     string
	parameter bool
}

// What is copied as it is: strings, quoted names and comments.
var literals = []*regexp.Regexp{
	regexp.MustCompile(`^'(?:[^']|'')*'`),
	regexp.MustCompile(`^"(?:[^"]|"")*"`),
	regexp.MustCompile("^`[^`]*`"),
	regexp.MustCompile(`^--[^\n]*`),
	regexp.MustCompile(`(?s)^/\*.*?\*/`),
}

var (
	reference   = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	dollarQuote = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*)?\$`)
	plain       = regexp.MustCompile("^[^'\"`{$?;/-]+")
)

// parseStatement divides a statement into its pieces.
func parseStatement(text string) (*statement, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimSuffix(text, ";"))
	if text == "" {
		return nil, errors.New("the statement is empty")
	}
	s := &statement{}
	var copied strings.Builder
	flush := func() {
		if copied.Len() > 0 {
			s.pieces = append(s.pieces, piece{text: copied.String()})
			copied.Reset()
		}
	}
	for rest := text; rest != ""; {
		if n := literal(rest); n > 0 {
			copied.WriteString(rest[:n])
			rest = rest[n:]
			continue
		}
		switch rest[0] {
		case '{':
			m := reference.FindStringSubmatch(rest)
			if m == nil {
				return nil, fmt.Errorf("%.20q: a table is written as {name}", rest)
			}
			flush()
			s.pieces, s.tables = append(s.pieces, piece{table: m[1]}), append(s.tables, m[1])
			rest = rest[len(m[0]):]
		case '$':
			p, n, err := parseParameter(rest)
			if err != nil {
				return nil, err
			}
			flush()
			s.pieces, s.parameters = append(s.pieces, piece{parameter: true}), append(s.parameters, p)
			rest = rest[n:]
		case '?':
			return nil, errors.New("? is not a parameter: write $.field, $event.name or $metadata.key; for PostgreSQL's operators, use their functions, such as jsonb_exists")
		case ';':
			return nil, errors.New("there is a second statement after the semicolon: make it another item of the list")
		case '\'', '"', '`':
			return nil, fmt.Errorf("%.20q: the quotation does not end", rest)
		default:
			copied.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	flush()
	s.insert = insertOf(s)
	return s, nil
}

// literal returns the length of what is copied as it is at the beginning of a text.
func literal(text string) int {
	if n := len(plain.FindString(text)); n > 0 {
		return n
	}
	for _, l := range literals {
		if n := len(l.FindString(text)); n > 0 {
			return n
		}
	}
	if tag := dollarQuote.FindString(text); tag != "" { // PostgreSQL's
		if end := strings.Index(text[len(tag):], tag); end >= 0 {
			return 2*len(tag) + end
		}
	}
	return 0
}

// text returns the statement for a database, with the tables of a generation.
func (s *statement) text(dialect eventstore.Dialect, generation int) string {
	w := writer{dialect: dialect, generation: generation}
	w.write(s.pieces)
	return w.b.String()
}

// writer writes pieces as a database takes them.
type writer struct {
	dialect    eventstore.Dialect
	generation int
	b          strings.Builder
	parameters int
}

func (w *writer) write(pieces []piece) {
	for _, p := range pieces {
		switch {
		case p.table != "":
			w.b.WriteString(eventstore.TableOf(p.table, w.generation))
		case !p.parameter:
			w.b.WriteString(p.text)
		case w.dialect == eventstore.PostgreSQL:
			w.parameters++
			w.b.WriteString("$" + strconv.Itoa(w.parameters))
		default:
			w.b.WriteByte('?')
		}
	}
}

// values appends the values of the parameters for an event.
func (s *statement) values(to []any, d *document) ([]any, error) {
	for _, p := range s.parameters {
		v, err := p.value(d)
		if err != nil {
			return nil, err
		}
		to = append(to, v)
	}
	return to, nil
}
