package console

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// visible returns a page with everything escaped as in a Go string that would not show, or would move other text: control
// characters but tab and newline, format characters such as those that change the direction, and invalid UTF-8. Pages of ours have
// none of them, so what has come from publishers.
func visible(page []byte) []byte {
	if !bytes.ContainsFunc(page, hides) {
		return page
	}
	var b bytes.Buffer
	for rest := page; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case hides(r) && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case hides(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.Write(rest[:size])
		}
		rest = rest[size:]
	}
	return b.Bytes()
}

func hides(r rune) bool {
	switch r {
	case '\n', '\t', '\u00a0':
		return false
	case utf8.RuneError:
		return true
	}
	return !unicode.IsPrint(r)
}

// number returns a number with its thousands apart.
func number(n any) string {
	var text string
	switch n := n.(type) {
	case float64:
		if n < 10 && n != math.Trunc(n) {
			return strconv.FormatFloat(n, 'f', 1, 64)
		}
		text = strconv.FormatFloat(n, 'f', 0, 64)
	default:
		text = fmt.Sprint(n)
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// plural returns a number of things.
func plural(n any, one, many string) string {
	if text := number(n); text != "1" {
		return text + " " + many
	}
	return "1 " + one
}

// byteSize returns a size with its unit.
func byteSize(n uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	size, i := float64(n), 0
	for size >= 1024 && i+1 < len(units) {
		size, i = size/1024, i+1
	}
	if i == 0 {
		return plural(n, "byte", "bytes")
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[i]
}

// seconds returns a duration with the unit that suits it.
func seconds(s float64) string {
	switch {
	case s == 0:
		return "0 s"
	case s < 0.01:
		return strconv.FormatFloat(s*1000, 'f', 2, 64) + " ms"
	case s < 1:
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case s < 120:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case s < 2*3600:
		return strconv.FormatFloat(s/60, 'f', 0, 64) + " min"
	case s < 48*3600:
		return strconv.FormatFloat(s/3600, 'f', 0, 64) + " h"
	}
	return strconv.FormatFloat(s/86400, 'f', 0, 64) + " days"
}

// rate returns a number of things a second.
func rate(n float64) string { return number(n) + "/s" }

// momentFormat is how pages show times, which are those of UTC.
const momentFormat = "2006-01-02 15:04:05.000"

// moment returns a time as pages show it.
func moment(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return when(t.AsTime())
}

// when returns a time as pages show it.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(momentFormat)
}

// ago returns how long ago a time was.
func ago(t time.Time) string { return seconds(math.Round(time.Since(t).Seconds())) }

// prettyBytes bounds JSON with a member on each line.
const prettyBytes = 4 << 20

// prettyJSON returns a JSON text with a member on each line, or the text itself if it is not JSON or nests so deeply that the page would
// be spaces.
func prettyJSON(text []byte) string {
	if pretty, ok := printable.Indent(text, prettyBytes); ok {
		return pretty
	}
	return string(text)
}

// parseTime reads a time as a form or an address has it: that of UTC unless it says otherwise.
func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", momentFormat, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badRequest("the time is " + strconv.Quote(text) + ": write it as 2026-11-24 15:04:05, in UTC")
}
