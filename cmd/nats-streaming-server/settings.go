package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/conf"
)

// setting is one option: its flags, its keys in the configuration file, and what its value does.
type setting struct {
	flags []string
	// keys are those of the streaming block, with dots for nested ones. The element * stands for the name of
	// a channel, which set gets as its second argument.
	keys  []string
	kind  kind
	value string // what the usage calls the value; "": as its kind
	usage string
	set   func(o *options, v, channel string) error
	state state
	note  string // why it has no effect, or what replaces it
}

// state says how an option compares with NATS Streaming's of the same name.
type state int

const (
	same     state = iota
	better         // note says how
	added          // NATS Streaming does not have it
	noEffect       // accepted, and logged with the note
	refused        // stops the start with the note, unless its value is false
)

func (s state) String() string {
	return [...]string{"same", "better", "new", "no effect", "refused"}[s]
}

// kind is the type of a value.
type kind int

const (
	text kind = iota
	toggle
	count    // an integer
	size     // bytes; flags may use units, as NATS' configuration does: 10MB
	duration // as Go writes it: 1h30m
	list     // an array, or a string separated by commas
	block    // a block as a whole
	anything // a value that is not looked at
)

// group is a section of the usage.
type group struct {
	title    string
	settings []setting
}

// groups are all options of the streaming part, in the order of the usage. Names and aliases are NATS
// Streaming's.
var groups = []group{
	{"Streaming options", streamingSettings},
	{"Event channels", eventSettings},
	{"Routes of events", routeSettings},
	{"Store options", storeSettings},
	{"Limits (by default nothing is limited)", limitSettings},
	{"API for gRPC and HTTP (docs/api.md)", grpcSettings},
	{"Connection to NATS", natsSettings},
	{"Accepted options of NATS Streaming that have no effect", formerSettings},
	{"Options of NATS Streaming that are refused", refusedSettings},
}

var settings = func() []*setting {
	var all []*setting
	for _, g := range groups {
		for i := range g.settings {
			all = append(all, &g.settings[i])
		}
	}
	return all
}()

// settingsByKey finds an option by its key in the configuration file.
var settingsByKey = make(map[string]*setting)

func init() {
	for _, it := range settings {
		for _, k := range it.keys {
			settingsByKey[k] = it
		}
	}
}

// apply sets the option that was given as name.
func (it *setting) apply(o *options, name, v, channel string) error {
	if err := it.kind.check(v); err != nil {
		return err
	}
	switch it.state {
	case noEffect:
		o.Notices = append(o.Notices, name+" has no effect: "+it.note)
		return nil
	case refused:
		if it.kind == toggle {
			if on, err := strconv.ParseBool(v); err != nil || !on {
				return err
			}
		}
		return errors.New("not supported: " + it.note)
	}
	return it.set(o, v, channel)
}

// check reports whether v is a value of the kind.
func (k kind) check(v string) error {
	var err error
	switch k {
	case toggle:
		if _, err = strconv.ParseBool(v); err != nil {
			err = fmt.Errorf("%q is neither true nor false", v)
		}
	case count:
		if _, err = strconv.ParseInt(v, 10, 64); err != nil {
			err = fmt.Errorf("%q is not a number", v)
		}
	case size:
		_, err = parseSize(v)
	case duration:
		if _, err = time.ParseDuration(v); err != nil {
			err = fmt.Errorf("%q is not a duration such as 1h30m or 10s", v)
		}
	}
	return err
}

// parseSize returns a number of bytes; units are those of NATS' configuration.
func parseSize(v string) (int64, error) {
	m, err := conf.Parse("size: " + v)
	if n, ok := m["size"].(int64); err == nil && ok {
		return n, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 1024 or 10MB", v)
}

func setString(field func(*options) *string) func(*options, string, string) error {
	return func(o *options, v, _ string) error {
		*field(o) = v
		return nil
	}
}

func setBool(fields ...func(*options) *bool) func(*options, string, string) error {
	return func(o *options, v, _ string) error {
		on, err := strconv.ParseBool(v)
		for _, f := range fields {
			*f(o) = on
		}
		return err
	}
}

// setCount sets a number that must not be negative.
func setCount(field func(*options) *int) func(*options, string, string) error {
	return func(o *options, v, _ string) error {
		n, err := strconv.Atoi(v)
		if err == nil && n < 0 {
			err = fmt.Errorf("%d must not be negative", n)
		}
		*field(o) = n
		return err
	}
}

// setSize sets a number of bytes.
func setSize(field func(*options) *int64) func(*options, string, string) error {
	return func(o *options, v, _ string) (err error) {
		*field(o), err = parseSize(v)
		return err
	}
}

func setDuration(field func(*options) *time.Duration) func(*options, string, string) error {
	return func(o *options, v, _ string) (err error) {
		*field(o), err = time.ParseDuration(v)
		return err
	}
}

// splitList returns the elements of a list that is separated by commas.
func splitList(v string) []string {
	var out []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// under returns the keys below each of the blocks.
func under(blocks []string, keys ...string) []string {
	var out []string
	for _, b := range blocks {
		for _, k := range keys {
			out = append(out, b+"."+k)
		}
	}
	return slices.Clip(out)
}
