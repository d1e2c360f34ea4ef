package access

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/nats-io/nats-server/v2/conf"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Load reads an access file, which is written in the syntax of NATS' configuration. An error names the file and the line.
func Load(name string) (*Policy, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("access file: %w: create it (docs/operate/security.md), or name another with access_file", err)
	}
	content, err := conf.ParseFileWithChecks(name)
	if err != nil {
		return nil, fmt.Errorf("access file: %s: %w", name, err)
	}
	l := loader{file: name, policy: &Policy{
		tokens: map[[sha256.Size]byte]*Principal{}, certificates: map[string]*Principal{}, users: map[string]*Principal{}, places: map[string]string{},
		warning: exposed(name, info.Mode()),
	}}
	if err := l.load(content); err != nil {
		return nil, fmt.Errorf("access file: %w", err)
	}
	return l.policy, nil
}

// exposed warns of a file that others may read or change.
func exposed(name string, mode fs.FileMode) string {
	switch {
	case runtime.GOOS == "windows": // where a mode says nothing
	case mode&0o022 != 0:
		return fmt.Sprintf("Access file %s can be changed by other users of this host (mode %#o): chmod 600 %s", name, mode.Perm(), name)
	case mode&0o004 != 0:
		return fmt.Sprintf("Access file %s can be read by all users of this host (mode %#o): chmod 600 %s", name, mode.Perm(), name)
	}
	return ""
}

// token is a value of a parsed file with its position.
type token interface {
	Value() any
	Line() int
	SourceFile() string
	IsUsedVariable() bool
}

// loader builds a policy. Its errors begin with the place of what they are about.
type loader struct {
	file   string
	policy *Policy
}

func (l *loader) errorf(at any, format string, args ...any) error {
	return fmt.Errorf("%s: %w", l.place(at), fmt.Errorf(format, args...))
}

// place returns the file and line of a value.
func (l *loader) place(at any) string {
	tk, ok := at.(token)
	if !ok {
		return l.file
	}
	return fmt.Sprintf("%s:%d", cmp.Or(tk.SourceFile(), l.file), tk.Line())
}

// load reads the top level, whose only key is principals. Other keys define variables.
func (l *loader) load(content map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(content)) {
		tk, ok := content[key].(token)
		if variable := ok && tk.IsUsedVariable(); key != "principals" && !variable {
			return l.errorf(content[key], "unknown key %q: the only key is principals", key)
		}
	}
	all, ok := value(content["principals"]).([]any)
	if !ok {
		return l.errorf(content["principals"], "principals must be a list of blocks: principals: [ { name: billing, ... } ]")
	}
	names := make(map[string]bool)
	for _, it := range all {
		block, ok := value(it).(map[string]any)
		if !ok {
			return l.errorf(it, "a principal must be a block: { name: billing, ... }")
		}
		p, err := l.principal(it, block)
		if err != nil {
			return err
		}
		if names[p.Name] {
			return l.errorf(block["name"], "principal %q appears twice", p.Name)
		}
		names[p.Name] = true
		l.policy.principals = append(l.policy.principals, p)
	}
	return nil
}

// principal reads one block.
func (l *loader) principal(at any, block map[string]any) (*Principal, error) {
	p := &Principal{}
	var ok bool
	if p.Name, ok = value(block["name"]).(string); !ok || p.Name == "" {
		return nil, l.errorf(at, "a principal needs a name")
	}
	for _, key := range slices.Sorted(maps.Keys(block)) {
		v := block[key]
		var err error
		switch key {
		case "name":
		case "monitor":
			if p.Monitor, ok = value(v).(bool); !ok {
				err = l.errorf(v, "monitor must be true or false")
			}
		case "tokens":
			err = l.each(key, v, func(s, _ string) error {
				hash, err := parseHash(s)
				if err != nil {
					return err
				}
				return claim(l.policy.tokens, hash, p, "token")
			})
		case "certificates":
			err = l.each(key, v, func(s, _ string) error {
				id, err := parseIdentity(s)
				if err != nil {
					return err
				}
				return claim(l.policy.certificates, id, p, fmt.Sprintf("certificate %q", s))
			})
		case "nats_users":
			err = l.each(key, v, func(s, place string) error {
				if s == "" {
					return errors.New("the name is empty")
				}
				l.policy.places[s] = place
				return claim(l.policy.users, s, p, fmt.Sprintf("user %q", s))
			})
		default:
			right, known := rightOf(key)
			if !known {
				return nil, l.errorf(v, "unknown key %q of a principal", key)
			}
			err = l.each(key, v, func(s, _ string) error {
				if !eventlog.ValidPattern(s) {
					return fmt.Errorf("%q is not a pattern of channels such as eventstore.orders or eventstore.>", s)
				}
				p.patterns[right] = append(p.patterns[right], s)
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// each calls f with the strings of a list, or with a single string, and the place of each.
func (l *loader) each(key string, at any, f func(s, place string) error) error {
	list, ok := value(at).([]any)
	if !ok {
		list = []any{at}
	}
	for _, it := range list {
		s, ok := value(it).(string)
		if !ok {
			return l.errorf(it, "%s must be a list of strings", key)
		}
		if err := f(s, l.place(it)); err != nil {
			return l.errorf(it, "%s: %w", key, err)
		}
	}
	return nil
}

// claim records that a credential is a principal's.
func claim[K comparable](owners map[K]*Principal, key K, p *Principal, what string) error {
	if other := owners[key]; other != nil {
		return fmt.Errorf("%s appears twice: at principal %q, too", what, other.Name)
	}
	owners[key] = p
	return nil
}

func rightOf(key string) (Right, bool) {
	for r := range rights {
		if r.String() == key {
			return r, true
		}
	}
	return 0, false
}

// value returns the value of a token.
func value(v any) any {
	if tk, ok := v.(token); ok {
		return tk.Value()
	}
	return v
}
