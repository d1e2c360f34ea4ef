// Package page reads the pages of the documentation for the tests that run what the pages show.
//
// A fenced block says in its info string what it is: the language, then words of its own, such as ```sh postgres restore.
// A block that cannot be run says why: ```sh norun="needs Kafka Connect".
//
// Package docs runs the blocks of a page in order, except those after a comment <!-- test: TestBackups -->. Those are for
// the named test, which gets them by Own, until a comment <!-- test: --> ends it.
package page

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
)

// A Block is a fenced block of a page, or a comment <!-- sh … --> with commands that readers do not see.
type Block struct {
	Place    string // its page and line, for messages
	Heading  string // the nearest headings above: "Section" or "Section: Subsection"
	Language string
	Name     string // the words after the language
	NoRun    string // why it cannot be run
	Test     string // the test that runs it, "" for package docs
	Follows  bool   // only empty lines are between it and the block before it
	Hidden   bool   // readers do not see it

	text string
	used atomic.Bool
}

// Text returns the content. It counts as run from then on.
func (b *Block) Text() string {
	b.used.Store(true)
	return b.text
}

// Matches reports whether the block shows an output. White space may differ, and … in the block stands for anything.
func (b *Block) Matches(output string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(words(b.Text())), "…", ".*?")
	return regexp.MustCompile("^" + pattern + "$").MatchString(words(output))
}

// words removes all white space: protojson writes more or less of it, from build to build.
func words(text string) string { return strings.Join(strings.Fields(text), "") }

// Root returns the directory of the repository, as seen from the directory of a test.
func Root() string {
	for dir := "."; ; dir = filepath.Join(dir, "..") {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		if root, err := filepath.Abs(dir); err != nil || root == filepath.Dir(root) {
			panic("no go.work above the directory of the test")
		}
	}
}

var (
	fence  = regexp.MustCompile("^( *)```(\\w*) *(.*)$")
	norun  = regexp.MustCompile(`norun="([^"]+)"`)
	test   = regexp.MustCompile(`^ *<!-- test:\s*(\w*) -->$`)
	hidden = regexp.MustCompile(`^ *<!-- sh$`)
)

// Read returns the blocks of a page. Its name is relative to the root of the repository.
func Read(name string) ([]*Block, error) {
	text, err := os.ReadFile(filepath.Join(Root(), name))
	if err != nil {
		return nil, err
	}
	r := reader{page: name}
	for line := range strings.Lines(string(text)) {
		r.number++
		r.line(strings.TrimRight(line, "\n"))
	}
	if r.open != nil {
		return nil, fmt.Errorf("%s: the block does not end", r.open.Place)
	}
	return r.blocks, nil
}

// reader reads a page line by line.
type reader struct {
	page             string
	number           int
	section, heading string
	test             string
	blocks           []*Block
	open             *Block // the block of this line
	indent, end      string // of the open block
	text             strings.Builder
	follows          bool
}

func (r *reader) line(line string) {
	if r.open != nil {
		if line = strings.TrimPrefix(line, r.indent); line != r.end {
			r.text.WriteString(line + "\n")
			return
		}
		r.open.text = r.text.String()
		r.blocks = append(r.blocks, r.open)
		r.open, r.follows = nil, true
		r.text.Reset()
		return
	}
	if begin := fence.FindStringSubmatch(line); begin != nil {
		r.begin(&Block{Language: begin[2], Name: strings.TrimSpace(norun.ReplaceAllString(begin[3], ""))}, begin[1], "```")
		if reason := norun.FindStringSubmatch(begin[3]); reason != nil {
			r.open.NoRun = reason[1]
		} else if last := len(r.blocks) - 1; r.follows && r.open.Language == "" {
			r.open.NoRun = r.blocks[last].NoRun // the output of what is not run
		}
		return
	}
	if hidden.MatchString(line) {
		r.begin(&Block{Language: "sh", Hidden: true}, "", "-->")
		return
	}
	if of := test.FindStringSubmatch(line); of != nil {
		r.test = of[1]
	} else if section, found := strings.CutPrefix(line, "## "); found {
		r.section, r.heading = section, section
	} else if heading, found := strings.CutPrefix(line, "### "); found {
		r.heading = r.section + ": " + heading
	}
	r.follows = r.follows && strings.TrimSpace(line) == ""
}

func (r *reader) begin(b *Block, indent, end string) {
	b.Place, b.Heading, b.Test, b.Follows = fmt.Sprintf("%s:%d", r.page, r.number), r.heading, r.test, r.follows
	r.open, r.indent, r.end = b, indent, end
}
