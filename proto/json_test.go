package proto

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSON(t *testing.T) {
	const depth = 31
	nines := strings.Repeat("9", maxNumber)
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	stored := []string{
		`{}`, `[]`, `""`, `0`, `-0`, `-1.5`, `true`, `false`, `null`, ` { "a" : [ 1 , 2 ] } `, "\t[\r\n]\n",
		`{"a":1,"a":2}`, `{"":""}`, `"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"`, `"é😀"`, "\"\x7f\"", `"\uffff\ue000\ud7ff"`,
		`1e5`, `1E+05`, `1.25e-7`, `1e308`, `-1.7976931348623157e308`, `5e-324`, `0e-999`, `0.0e999`, nines, `-` + nines[1:], `0.` + nines[2:],
		nest(depth), strings.Repeat(`{"a":`, depth) + `1` + strings.Repeat(`}`, depth),
		`{"` + strings.Repeat("k", MaxJSONKey) + `":1}`,
	}
	for _, s := range stored {
		if got := JSON([]byte(s), depth); string(got) != s {
			t.Errorf("%.80s is stored as %.80s", s, got)
		}
	}
	encoded := []string{
		// Not JSON.
		` `, `{`, `}`, `[`, `[1,]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1`, `{"a":1 "b":2}`, `[1 2]`, `"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`,
		"\"\n\"", "\"\x00\"", `01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x1`, `NaN`, `Infinity`, `tru`, `nul`, `nulll`, `1 2`, `[] []`, `'a'`, `/**/1`, "\ufeff{}", "\x0a\x03abc", "plain text",
		// JSON that a database refuses.
		`"\u0000"`, `{"\u0000":1}`, `"\ud800"`, `"\ud800x"`, `"\ud800\u0041"`, `"\ud800\n"`, `"\udc00"`, `"\udc00\ud800"`, `"\ud83d\ud83d\ude00"`,
		"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "{\"\xe2\x82\":1}",
		`1e309`, `-1e309`, `1e-400`, `1e1000`, `1e-1000`, `1e0005`, `0e1000`, nines + `9`, `0.` + nines, `17976931348623159` + strings.Repeat("0", 200) + `e100`,
		nest(depth + 1), strings.Repeat(`{"a":`, depth) + `[]` + strings.Repeat(`}`, depth),
		`{"` + strings.Repeat("k", MaxJSONKey+1) + `":1}`,
	}
	for _, s := range encoded {
		want := `"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"`
		if got := JSON([]byte(s), depth); string(got) != want {
			t.Errorf("%.80s is stored as %.80s", s, got)
		}
	}
	if got := JSON(nil, depth); got != nil {
		t.Errorf("no data is stored as %q", got)
	}
	if got := JSON([]byte{}, depth); got != nil {
		t.Errorf("empty data is stored as %q", got)
	}
	if got := JSON([]byte(`1`), 0); string(got) != `1` {
		t.Errorf("a scalar at depth 0 is stored as %s", got)
	}
}

var (
	exponent = regexp.MustCompile(`[eE][+-]?(\d+)$`)
	// escape matches surrogate pairs, and escaped backslashes: otherwise a "u" after
	// one would look like an escape.
	escape = regexp.MustCompile(`\\\\|(?i)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})`)
	half   = regexp.MustCompile(`(?i)\\u(d[89a-f][0-9a-f]{2})`)
)

// storableSlowly implements storable with encoding/json.
func storableSlowly(data []byte, maxDepth int) bool {
	if !json.Valid(data) || !utf8.Valid(data) {
		return false
	}
	// encoding/json decodes half a pair as U+FFFD, so the pairs are checked here.
	text := escape.ReplaceAllString(string(data), " ")
	if half.MatchString(text) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	depth := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			if depth > maxDepth {
				return false
			}
		case string:
			if strings.ContainsRune(v, 0) {
				return false
			}
		case json.Number:
			s := v.String()
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || len(s) > maxNumber {
				return false
			}
			if m := exponent.FindStringSubmatch(s); m != nil {
				if len(m[1]) > maxExponentDigits {
					return false
				}
				s = s[:len(s)-len(m[0])]
			}
			if f == 0 && strings.ContainsAny(s, "123456789") {
				return false
			}
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"order":"order-17","items":[{"sku":"a-1","qty":2,"price":12.50e-3}],"ok":true,"none":null,"no":false}`,
		`"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"`, `"\ud800"`, `"\udc00\ud800"`, `"\u0000"`, `"\\u0000"`, "\"\ufffd\\ufffd\"", "\"\xff\"",
		`[[[[1]]]]`, `1e308`, `1e309`, `-0.0E-999`, `1e0001`, `5e-324`, `1e-400`, `{"a":1,"a":[]}`, ` [ 1 , 2 ] `, `0`, `-`, `01`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const maxDepth = 3
		got := JSON(data, maxDepth)
		switch {
		case len(data) == 0:
			if got != nil {
				t.Errorf("no data is stored as %q", got)
			}
		case storableSlowly(data, maxDepth):
			if !bytes.Equal(got, data) {
				t.Errorf("stored as %q", got)
			}
		default:
			var s string
			if err := json.Unmarshal(got, &s); err != nil {
				t.Fatal(err)
			}
			if back, err := base64.StdEncoding.DecodeString(s); err != nil || !bytes.Equal(back, data) {
				t.Errorf("stored as %q: decodes to %q, %v", got, back, err)
			}
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	item := `{"sku":"a-1","qty":2,"price":12.50,"name":"Zoë's \"best\" tea, 250 g, with a longer description"},`
	for name, data := range map[string][]byte{
		"512B":    []byte(`{"order":"order-17","items":[` + strings.Repeat(item, 5)[:5*len(item)-1] + `]}`),
		"512Btxt": []byte(`{"padding":"` + strings.Repeat("x", 497) + `"}`),
		"64KB":    []byte(`[` + strings.Repeat(item, 650)[:650*len(item)-1] + `]`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if got := JSON(data, 31); len(got) != len(data) {
					b.Fatal("encoded")
				}
			}
		})
		b.Run(name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if !json.Valid(data) {
					b.Fatal("invalid")
				}
			}
		})
	}
	data := bytes.Repeat([]byte{0xff}, 512)
	b.Run("base64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			JSON(data, 31)
		}
	})
}
