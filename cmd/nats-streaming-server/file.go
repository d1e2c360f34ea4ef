package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/conf"
)

// token is a value of a parsed configuration file with its position.
type token interface {
	Value() any
	Line() int
	SourceFile() string
}

// readFile applies the streaming part of a configuration file: the streaming block, where an unknown key is an error. If the
// file has no such block, readFile applies the top-level keys that it knows.
func (o *options) readFile(name string) error {
	file, err := conf.ParseFileWithChecks(name)
	if err != nil {
		return syntaxError(name, err)
	}
	for key, tk := range file {
		if strings.EqualFold(key, "streaming") {
			content, ok := value(tk).(map[string]any)
			if !ok {
				return fmt.Errorf("%s: %w", place(name, tk), wrongType(key, "map", tk))
			}
			return o.applyBlock(blockOf{file: name, strict: true}, content)
		}
	}
	return o.applyBlock(blockOf{file: name}, file)
}

// syntaxError completes an error of NATS' parser. It takes a path without quotes for a variable.
func syntaxError(file string, err error) error {
	if strings.Contains(err.Error(), "variable reference for '.") {
		return fmt.Errorf("%s: %w: write a path in quotes, such as \"$.id\"", file, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// blockOf is the context of a block.
type blockOf struct {
	file    string
	prefix  string // prefix of its keys, ending with a dot
	channel string // channel name, within the limits of one channel
	strict  bool   // unknown keys are errors
}

// applyBlock sets the options of one block. It sorts the keys, so that the first error is deterministic.
func (o *options) applyBlock(b blockOf, content map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(content)) {
		err := o.applyKey(b, name, content[name])
		var inner *placedError
		switch {
		case errors.As(err, &inner): // from a nested block
			return err
		case err != nil:
			return &placedError{place(b.file, content[name]), err}
		}
	}
	return nil
}

// placedError is an error with its file and line.
type placedError struct {
	place string
	err   error
}

func (e *placedError) Error() string { return e.place + ": " + e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

func (o *options) applyKey(b blockOf, name string, tk any) error {
	key := b.prefix + strings.ToLower(name)
	it := settingsByKey[key]
	content, isBlock := value(tk).(map[string]any)
	isBlockKey := hasKeysBelow(key)
	switch {
	case hasKeysBelow(b.prefix + "*"):
		if !isBlock {
			return wrongType(name, "map", tk)
		}
		b.prefix, b.channel = b.prefix+"*.", name
		return o.applyBlock(b, content)
	case key == eventsKey:
		return o.applyEvents(b, name, tk)
	case key == routesKey:
		return o.applyRoutes(b, name, tk)
	case isBlock && isBlockKey:
		// Without a streaming block, this may be a block of NATS with the same name: the keys in it decide.
		if it != nil && it.state == refused && b.strict {
			return fmt.Errorf("key %q: %w", key, it.apply(o, key, "", ""))
		}
		b.prefix = key + "."
		return o.applyBlock(b, content)
	case it == nil && isBlockKey, it != nil && it.kind == block:
		return wrongType(name, "map", tk)
	case it == nil && b.strict:
		return fmt.Errorf("unknown key %q", key)
	case it == nil:
		return nil
	}
	if want := it.kind.configType(); want != "" && want != typeName(tk) && (it.kind != list || typeName(tk) != "string") {
		return wrongType(name, want, tk)
	}
	if err := it.apply(o, key, asFlag(tk), b.channel); err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return nil
}

// hasKeysBelow reports whether key names a block that has keys.
func hasKeysBelow(key string) bool {
	for k := range settingsByKey {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// configType returns the type that NATS Streaming's errors name for the kind; "" is any.
func (k kind) configType() string {
	switch k {
	case text, duration:
		return "string"
	case toggle:
		return "bool"
	case count, size:
		return "int64"
	case list:
		return "slice"
	default:
		return ""
	}
}

func typeName(tk any) string {
	v := value(tk)
	if _, ok := v.(time.Time); ok {
		return "date"
	}
	return reflect.TypeOf(v).Kind().String()
}

func wrongType(name, want string, tk any) error {
	return fmt.Errorf("parameter %q value is expected to be %s, got %s", name, want, typeName(tk))
}

// value returns the value of a token; any other value is returned as is.
func value(v any) any {
	if tk, ok := v.(token); ok {
		return tk.Value()
	}
	return v
}

// asFlag formats a value as on the command line; lists are separated by commas.
func asFlag(v any) string {
	elements, ok := value(v).([]any)
	if !ok {
		return fmt.Sprint(value(v))
	}
	out := make([]string, len(elements))
	for i := range elements {
		out[i] = asFlag(elements[i])
	}
	return strings.Join(out, ",")
}

// place returns the file and line of a token.
func place(file string, v any) string {
	if tk, ok := v.(token); ok {
		if src := tk.SourceFile(); src != "" {
			file = src
		}
		return fmt.Sprintf("%s:%d", file, firstLine(tk))
	}
	return file
}

// firstLine returns the line of a token. That of a block in a list is where the block ends, so its keys count, too.
func firstLine(tk token) int {
	line := tk.Line()
	if content, ok := tk.Value().(map[string]any); ok {
		for _, v := range content {
			if tk, ok := v.(token); ok {
				line = min(line, firstLine(tk))
			}
		}
	}
	return line
}
