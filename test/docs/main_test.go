// Package docs runs what the pages of the documentation show, as their readers do: commands one after the other, with the
// ports and paths of the page, in a network of their own. Package page says how a page leaves a block to another test.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// ownNetwork is why this process has no network of its own, in which the ports of the pages are free.
var ownNetwork error

func TestMain(m *testing.M) {
	if status, err := enterNetwork(); status >= 0 {
		os.Exit(status)
	} else if ownNetwork = err; err != nil && os.Getenv("CI") != "" {
		fmt.Fprintln(os.Stderr, "the commands of the pages need a network of their own:", err)
		os.Exit(1)
	}
	harness.MainPlain(m)
}

// pages returns the blocks of each page.
func pages(t *testing.T) map[string][]*page.Block {
	t.Helper()
	all := make(map[string][]*page.Block)
	add := func(path string) error {
		name, err := filepath.Rel(page.Root(), path)
		if err != nil {
			return err
		}
		all[name], err = page.Read(name)
		return err
	}
	err := add(filepath.Join(page.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(page.Root(), "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") && filepath.Base(filepath.Dir(path)) != "decisions" {
			err = add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours reports whether this package runs a block.
func ours(b *page.Block) bool { return b.Test == "" && b.NoRun == "" }
