package printable

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestIndent compares with encoding/json what is small, and refuses a small text that would have gigabytes.
func TestIndent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `[]`, `1`, `"a,b\"{["`, `{"a":[1,2,{"b":"\\"}],"c":{}}`, ` [ 1 , 2 ] `} {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(text), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got, ok := Indent([]byte(text), 1000); !ok || got != want.String() || indented([]byte(text)) < want.Len() {
			t.Errorf("%s becomes %q, %t, of at most %d bytes; want %q", text, got, ok, indented([]byte(text)), want.String())
		}
	}
	deep := strings.Repeat("[", 9000) + strings.Repeat("1,", 100_000) + "1" + strings.Repeat("]", 9000)
	if got, ok := Indent([]byte(deep), 1<<20); ok {
		t.Errorf("%d bytes became %d", len(deep), len(got))
	}
	for _, text := range []string{"", "{", "text"} {
		if _, ok := Indent([]byte(text), 1000); ok {
			t.Errorf("%q is not JSON", text)
		}
	}
}
