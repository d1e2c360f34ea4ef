package settings

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of options in docs/reference")

const (
	compatibilityPage = "../../../docs/reference/compatibility.md"
	tableBegin        = "<!-- options: go test ./cmd/... -run Compatibility -update -->\n"
	tableEnd          = "<!-- end of options -->\n"
)

// docs/reference/compatibility.md lists exactly the options that the code defines.
func TestCompatibilityPage(t *testing.T) {
	page, err := os.ReadFile(compatibilityPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no options table", compatibilityPage)
	}
	want := optionsTable()
	if *update {
		if err := os.WriteFile(compatibilityPage, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("%s is out of date: run this test with -update; want\n%s", compatibilityPage, want)
	}
}

// optionsTable returns the options table in Markdown. For a block with several names it shows the first.
func optionsTable() string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "\n### %s\n\n| flags | keys | state | |\n|---|---|---|---|\n", g.title)
		for _, it := range g.settings {
			var flags, keys []string
			for _, f := range it.flags {
				flags = append(flags, "`-"+f+"`")
			}
			for _, k := range it.keys {
				if !isAlias(k) {
					keys = append(keys, "`"+k+"`")
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.Join(flags, " "), strings.Join(keys, " "), it.state, it.note)
		}
	}
	b.WriteString("\n### Blocks with several names\n\n| block | also |\n|---|---|\n")
	for _, names := range [][]string{limitBlocks, channelBlocks[:len(channelBlocks)/len(limitBlocks)], sqlBlocks, fileBlocks} {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", names[0], strings.Join(names[1:], "` `"))
	}
	b.WriteString("\n")
	return b.String()
}
