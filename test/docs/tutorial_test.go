package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// The tutorial builds examples/bank: its blocks of a file, one after the other, are the file. It shows parts of the tests.
func TestTutorial(t *testing.T) {
	t.Parallel()
	const name = "docs/start/tutorial.md"
	blocks, err := page.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, b := range blocks {
		if b.Language == "go" || b.Language == "yaml" {
			files[b.Name] += b.Text()
		}
	}
	directory := filepath.Join(page.Root(), "examples", "bank")
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(directory, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if words(files[e.Name()]) != words(string(text)) {
			t.Errorf("%s does not build examples/bank/%s", name, e.Name())
		}
	}
}
