package printable

import (
	"strconv"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "",
		"plain text, [INF] 100 %": "plain text, [INF] 100 %",
		`C:\data "quoted"`:        `C:\data "quoted"`,
		"Größe 日本 🙂":              "Größe 日本 🙂",
		"a\n[INF] STREAM: forged": `a\n[INF] STREAM: forged`,
		"\x1b[2J":                 `\x1b[2J`,
		"\r\t\x00\x7f":            `\r\t\x00\x7f`,
		"\u009b2J\u0085":          `\u009b2J\u0085`,
		"\u202egpj.exe\u2066":     `\u202egpj.exe\u2066`,
		"a\u2028b\u2029c\ufeff":   `a\u2028b\u2029c\ufeff`,
		"\xff\xfeé\xc3":           `\xff\xfeé\xc3`,
	} {
		if got := Line(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":             `""`,
		"orders.eu-1":  "orders.eu-1",
		"a client=me":  `"a client=me"`,
		"a=b":          `"a=b"`,
		`"`:            `"\""`,
		"\x1b[2J":      `"\x1b[2J"`,
		"\u202eabc":    `"\u202eabc"`,
		"\xff":         `"\xff"`,
		"größe":        "größe",
		`back\slash`:   `back\slash`,
		"new\nline":    `"new\nline"`,
		"in\u00a0side": `"in\u00a0side"`,
	} {
		if got := Value(in); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "12345": "12345", "123456": "12345...", "1234é6": "1234..."} {
		if got := Clip(in, 5); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Whatever the bytes, what comes out is printable, and a value can be read back.
func FuzzLine(f *testing.F) {
	f.Add("a\n\x1b[2J\xff\u202e b=c")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{Line(s), Value(s)} {
			if !utf8.ValidString(out) {
				t.Errorf("%q is not UTF-8", out)
			}
			for _, r := range out {
				if !unicode.IsPrint(r) {
					t.Errorf("%q has %U", out, r)
				}
			}
		}
		if v := Value(s); v != s {
			if back, err := strconv.Unquote(v); err != nil || back != s {
				t.Errorf("%s reads as %q, %v; want %q", v, back, err, s)
			}
		}
	})
}
