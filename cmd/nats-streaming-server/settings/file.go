package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/conf"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// token is a value of a parsed configuration file with its position.
type token interface {
	Value() any
	Line() int
	SourceFile() string
	IsUsedVariable() bool
}

// readFile applies the streaming part of a configuration file: the streaming block, or the keys at the top if the file has no
// such block.
func (o *Options) readFile(name string) error {
	file, err := conf.ParseFileWithChecks(name)
	if err != nil {
		return syntaxError(name, err)
	}
	o.Notices = append(o.Notices, duplicateKeys(name)...)
	return o.applyTop(name, file)
}

// applyTop applies the streaming part of what a configuration file contains.
func (o *Options) applyTop(name string, file map[string]any) error {
	top := blockOf{file: name, top: true}
	for key := range file {
		top.beside = top.beside || strings.EqualFold(key, streamingKey)
	}
	return o.applyBlock(top, file)
}

// syntaxError completes an error of NATS' parser. It takes a path without quotes for a variable.
func syntaxError(file string, err error) error {
	if strings.Contains(err.Error(), "variable reference for '.") {
		return fmt.Errorf("%s: %w: write a path in quotes, such as \"$.id\"", file, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// streamingKey is the key of the block of the streaming part. Its keys may also be at the top, in a file without the block.
const streamingKey = "streaming"

// blockOf is the context of a block.
type blockOf struct {
	file    string
	prefix  string // prefix of its keys, ending with a dot
	channel string // channel name, within the limits of one channel
	shared  bool   // NATS has a block of this name, too: unknown keys are its own
	top     bool   // the top of a file
	beside  bool   // the top of a file that has a streaming block
}

// applyBlock sets the options of one block, and returns all errors. Keys come in the order of their lines.
func (o *Options) applyBlock(b blockOf, content map[string]any) error {
	names := slices.SortedFunc(maps.Keys(content), func(x, y string) int {
		return cmp.Or(cmp.Compare(line(content[x]), line(content[y])), cmp.Compare(x, y))
	})
	var errs []error
	given := make(map[*setting]string) // the key, by what it sets
	for _, name := range names {
		here := o.here
		o.here = place(b.file, content[name]) + ": "
		it := settingsByKey[b.prefix+strings.ToLower(name)]
		err := o.applyKey(b, name, content[name])
		if was, twice := given[it]; err == nil && twice && !b.beside && it.conflicts(content[was], content[name]) {
			err = fmt.Errorf("key %q: already given as %q, which means the same: remove one of them", name, was)
		}
		if it != nil {
			given[it] = name
		}
		o.here = here
		var inner *placedError
		if err != nil && !errors.As(err, &inner) { // otherwise from a nested block
			err = &placedError{place(b.file, content[name]), err}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// conflicts reports whether it matters which of two values counts. NATS Streaming took either.
func (it *setting) conflicts(one, other any) bool {
	return it.state != noEffect && asFlag(one) != asFlag(other)
}

// placedError is an error with its file and line.
type placedError struct {
	place string
	err   error
}

func (e *placedError) Error() string { return e.place + ": " + e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

func (o *Options) applyKey(b blockOf, name string, tk any) error {
	key := b.prefix + strings.ToLower(name)
	it := settingsByKey[key]
	content, isBlock := value(tk).(map[string]any)
	isBlockKey := hasKeysBelow(key)
	if b.top {
		if key == streamingKey {
			if !isBlock {
				return wrongType(name, block, tk)
			}
			return o.applyBlock(blockOf{file: b.file}, content)
		}
		b.top, b.shared = false, natsKnows(name)
		switch {
		case b.beside && !b.shared && (it != nil || isBlockKey):
			return fmt.Errorf("key %q belongs to the streaming part: move it into the block streaming { ... }", name)
		case b.beside && b.shared:
			return nil
		case it == nil && !isBlockKey && !b.shared:
			return o.unknownAtTop(name, tk)
		}
	}
	switch {
	case hasKeysBelow(b.prefix + "*"):
		if !isBlock {
			return wrongType(name, block, tk)
		}
		b.prefix, b.channel = b.prefix+"*.", name
		o.given[config.LimitsOf(name)] = place(b.file, tk)
		return o.applyBlock(b, content)
	case key == eventsKey:
		return o.applyEvents(b, name, tk)
	case key == encryptKey:
		return o.applyEncrypt(b, name, tk)
	case key == consumersKey:
		return o.applyConsumers(b, name, tk)
	case key == routesKey:
		return o.applyRoutes(b, name, tk)
	case isBlock && isBlockKey:
		// Without a streaming block, this may be a block of NATS with the same name: the keys in it decide.
		if it != nil && it.state == refused && !b.shared {
			return fmt.Errorf("key %q: %w", key, it.apply(o, key, "", ""))
		}
		b.prefix = key + "."
		return o.applyBlock(b, content)
	case it == nil && isBlockKey, it != nil && it.kind == block:
		return wrongType(name, block, tk)
	case it == nil && (b.shared || isVariable(tk)):
		return nil
	case it == nil:
		return unknownKey(b.prefix, name)
	}
	if want := it.kind.configType(); want != "" && want != typeName(tk) && (it.kind != list || typeName(tk) != "string") {
		return wrongType(name, it.kind, tk)
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
	case block:
		return "map"
	default:
		return ""
	}
}

// example returns a value of the kind as the configuration file has it.
func (k kind) example() string {
	return [...]string{
		text: `"text"`, toggle: "true or false", count: "1000, without quotes", size: "10GB, a number or a number with KB, MB or GB, without quotes",
		duration: `"1h30m" or "10s", in quotes`, list: `["a", "b"]`, block: "", anything: "",
	}[k]
}

func typeName(tk any) string {
	v := value(tk)
	if _, ok := v.(time.Time); ok {
		return "date"
	}
	return reflect.TypeOf(v).Kind().String()
}

// wrongType begins as NATS Streaming's error does.
func wrongType(name string, want kind, tk any) error {
	err := fmt.Errorf("parameter %q value is expected to be %s, got %s", name, want.configType(), typeName(tk))
	switch v, isText := value(tk).(string); {
	case want == block:
		return fmt.Errorf("%w: write %s { ... }", err, name)
	case slices.Contains([]kind{toggle, count, size}, want) && isText && want.check(v) == nil:
		return fmt.Errorf("%w: write %s: %s, without quotes", err, name, v)
	case want.example() != "":
		return fmt.Errorf("%w: write %s: %s", err, name, want.example())
	}
	return err
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

// line returns the line of a token.
func line(v any) int {
	if tk, ok := v.(token); ok {
		return tk.Line()
	}
	return 0
}

// isVariable reports whether a value has a name of the operator's, to be used elsewhere in the file as $name.
func isVariable(v any) bool {
	tk, ok := v.(token)
	return ok && tk.IsUsedVariable()
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
