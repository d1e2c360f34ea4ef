package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
)

// token is a value of a parsed configuration file that knows where it stands.
type token interface {
	Value() any
	Line() int
	SourceFile() string
}

// readFile applies the streaming part of a configuration file: its streaming block, in which an unknown key
// is an error, or, in a file without one, every key at the top that is ours.
func (o *options) readFile(name string) error {
	file, err := conf.ParseFileWithChecks(name)
	if err != nil {
		return err
	}
	byKey := make(map[string]*setting)
	for i := range settings {
		for _, k := range settings[i].keys {
			byKey[k] = &settings[i]
		}
	}
	if tk, ok := file["streaming"]; ok {
		block, ok := value(tk).(map[string]any)
		if !ok {
			return fmt.Errorf("%s: streaming must be a block", place(name, tk))
		}
		return o.apply(name, "", block, byKey, true)
	}
	return o.apply(name, "", file, byKey, false)
}

// apply sets the options of one block, in the order of their names, so that the first error is
// always the same one.
func (o *options) apply(file, prefix string, block map[string]any, byKey map[string]*setting, strict bool) error {
	for _, name := range slices.Sorted(maps.Keys(block)) {
		tk := block[name]
		key := prefix + strings.ToLower(name)
		if nested, ok := value(tk).(map[string]any); ok {
			if strict && !hasPrefix(byKey, key+".") {
				return fmt.Errorf("%s: unknown key %q", place(file, tk), key)
			}
			if err := o.apply(file, key+".", nested, byKey, strict && hasPrefix(byKey, key+".")); err != nil {
				return err
			}
			continue
		}
		it, ok := byKey[key]
		if !ok {
			if strict {
				return fmt.Errorf("%s: unknown key %q", place(file, tk), key)
			}
			continue
		}
		v, err := text(tk)
		if err == nil {
			err = it.set(o, v)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", place(file, tk), key, err)
		}
	}
	return nil
}

func hasPrefix(byKey map[string]*setting, prefix string) bool {
	for k := range byKey {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

// value returns what a token holds; a value that is no token stands for itself.
func value(v any) any {
	if tk, ok := v.(token); ok {
		return tk.Value()
	}
	return v
}

// text returns a value as a flag would give it; a list is separated by commas.
func text(v any) (string, error) {
	switch v := value(v).(type) {
	case string:
		return v, nil
	case bool, int64, float64:
		return fmt.Sprint(v), nil
	case []any:
		list := make([]string, len(v))
		for i := range v {
			s, err := text(v[i])
			if err != nil {
				return "", err
			}
			list[i] = s
		}
		return strings.Join(list, ","), nil
	default:
		return "", fmt.Errorf("unexpected value %v", v)
	}
}

func place(file string, v any) string {
	if tk, ok := v.(token); ok {
		if src := tk.SourceFile(); src != "" {
			file = src
		}
		return fmt.Sprintf("%s:%d", file, tk.Line())
	}
	return file
}
