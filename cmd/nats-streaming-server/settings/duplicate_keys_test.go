package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDuplicateKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "server.conf")
	for text, want := range map[string][]int{
		"port: 1\nport = 2":                                         {2},
		"a { x: 1, x: 2 }\nb { x: 1 }":                              {1},
		"a { x: 1 }\nb { x: 1 }":                                    nil,
		"# a: 1\na: 1 # a: 2\n// a: 3":                              nil,
		"a: \"x\\\"y\n a: 1\", b: 1\nb: 2":                          {3},
		"a: 'it\\'\na: 1":                                           {2},
		"users: [{user: a, pass: b}, {user: c, pass: d}]\nusers: 1": {2},
		"a: [1, 2, [3]]\nb: [\n1\n2\n]\nb: 1":                       {6},
		"a: (\n b: 1\n b: 2\n)\nb: 3":                               nil,
		"\"a\": 1\n'a': 2\nurl: nats://h:1\nurl: nats://h:2":        {2, 4},
		"a $x\nx: 1\na {}\nurls = [nats://a, nats://b]":             {3},
		"a: 1\ninclude other.conf":                                  {1},
		"{\"a\": {\"b\": 1},\n\"c\": {\"b\": 1},\n\"c\": 2}":        {3},
		"a{b:1}c{b:1}\nc: [a;b]\nd: 1; d: 2":                        {2, 3},
	} {
		for name, text := range map[string]string{"server.conf": text, "other.conf": "a: 2"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var lines []int
		for _, n := range duplicateKeys(file) {
			name, _, _ := strings.Cut(n, ": ")
			var line int
			if _, err := fmt.Sscanf(name[strings.LastIndex(name, ":")+1:], "%d", &line); err != nil {
				t.Fatalf("%q: %v", n, err)
			}
			lines = append(lines, line)
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%q: lines %v, want %v: %q", text, lines, want, duplicateKeys(file))
		}
	}
}
