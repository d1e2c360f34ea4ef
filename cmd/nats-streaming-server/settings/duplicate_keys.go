package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// duplicateKeys returns a notice for each key that a block of a configuration file, or of what it includes, has twice. NATS' parser keeps
// the last one and does not tell. The file must be valid.
func duplicateKeys(name string) []string {
	d := duplicates{}
	d.file(name, make(map[string]string))
	return d.notices
}

type duplicates struct{ notices []string }

// file reads a file into the block whose keys and their places are given.
func (d *duplicates) file(name string, keys map[string]string) {
	text, err := os.ReadFile(name)
	if err != nil {
		return // its error has been told by the parser
	}
	s := &scanner{duplicates: d, name: name, text: string(text)}
	s.skip(spaces)
	if strings.HasPrefix(s.text, "{") { // JSON
		s.take(1)
	}
	for s.text != "" {
		s.block(keys)
	}
}

// scanner reads the syntax of NATS' configuration, as far as it tells keys from values.
type scanner struct {
	*duplicates
	name string
	line int // lines before text
	text string
}

func (s *scanner) take(n int) string {
	taken := s.text[:n]
	s.line += strings.Count(taken, "\n")
	s.text = s.text[n:]
	return taken
}

// until takes the text before the first of the characters, or all of it.
func (s *scanner) until(chars string) string {
	if i := strings.IndexAny(s.text, chars); i >= 0 {
		return s.take(i)
	}
	return s.take(len(s.text))
}

// skip takes the characters and comments.
func (s *scanner) skip(chars string) {
	for s.text != "" {
		switch {
		case s.text[0] == '#' || strings.HasPrefix(s.text, "//"):
			s.until("\n")
		case strings.ContainsRune(chars, rune(s.text[0])):
			s.take(1)
		default:
			return
		}
	}
}

const spaces = " \t\r\n"

// block reads keys and values up to the end of the block.
func (s *scanner) block(keys map[string]string) {
	for {
		s.skip(spaces + ",;")
		if s.text == "" {
			return
		}
		if s.text[0] == '}' {
			s.take(1)
			return
		}
		place, quoted := fmt.Sprintf("%s:%d", s.name, s.line+1), strings.ContainsRune(`"'`, rune(s.text[0]))
		key := s.key()
		if !quoted && strings.EqualFold(key, "include") {
			s.skip(spaces + "=:")
			s.file(filepath.Join(filepath.Dir(s.name), s.scalar()), keys)
			continue
		}
		if was := keys[key]; was != "" {
			s.notices = append(s.notices, fmt.Sprintf("%s: key %q is given twice, first at %s: the last one counts", place, key, was))
		}
		keys[key] = place
		s.skip(spaces + "=:")
		s.value()
	}
}

func (s *scanner) key() string {
	if strings.ContainsRune(`"'`, rune(s.text[0])) {
		return s.scalar()
	}
	key := s.until(spaces + "=:{")
	if key == "" {
		s.take(1) // not a key: go on
	}
	return key
}

func (s *scanner) value() {
	if s.text == "" {
		return
	}
	switch s.text[0] {
	case '{':
		s.take(1)
		s.block(make(map[string]string))
	case '[':
		s.take(1)
		for s.skip(spaces + ",;"); s.text != "" && s.text[0] != ']'; s.skip(spaces + ",;") {
			s.value()
		}
		s.until("]")
		s.take(min(1, len(s.text)))
	case '(': // text up to a line with nothing but the end
		if i := strings.Index(s.text, "\n)"); i >= 0 {
			s.take(i + len("\n)"))
		}
	default:
		s.scalar()
	}
}

// scalar takes a text or another value that is not a block.
func (s *scanner) scalar() string {
	quote := s.text[:min(1, len(s.text))]
	if quote != `"` && quote != `'` {
		v := s.until(spaces + ",;]}")
		if v == "" {
			s.take(min(1, len(s.text))) // go on
		}
		return v
	}
	s.take(1)
	var v strings.Builder
	for s.text != "" {
		v.WriteString(s.until(quote + `\`))
		if strings.HasPrefix(s.text, `\`) && quote == `"` {
			v.WriteString(s.take(min(2, len(s.text))))
			continue
		}
		if c := s.take(min(1, len(s.text))); c == quote {
			break
		} else {
			v.WriteString(c)
		}
	}
	return v.String()
}
