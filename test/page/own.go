package page

import (
	"os"
	"strings"
	"testing"
)

// Own returns the blocks of a page that name this test as the one that runs them. Call it in the test's function, not in a
// helper, with the name of the page as a literal: package docs looks for it there. In CI, where nothing is skipped, the test
// fails for each block whose Text nobody has asked for at its end.
func Own(t *testing.T, name string) []*Block {
	t.Helper()
	var own []*Block
	for _, b := range Open(t, name) {
		if b.Test == t.Name() && b.NoRun == "" {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		t.Fatalf("%s has no block for %s", name, t.Name())
	}
	t.Cleanup(func() {
		for _, b := range own {
			if os.Getenv("CI") != "" && !b.used.Load() {
				t.Errorf("%s: the test does not run this block:\n%s", b.Place, b.text)
			}
		}
	})
	return own
}

// Open returns the blocks of a page. They do not count as run by this test.
func Open(t testing.TB, name string) []*Block {
	t.Helper()
	blocks, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// Find returns the block with a language and a name.
func Find(t testing.TB, blocks []*Block, language, name string) *Block {
	t.Helper()
	for _, b := range blocks {
		if b.Language == language && b.Name == name {
			return b
		}
	}
	t.Fatalf("no block %s", strings.TrimSpace(language+" "+name))
	return nil
}
