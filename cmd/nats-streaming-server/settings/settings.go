package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/conf"
)

// setting is one option: its flags, its keys in the configuration file, and a function that sets its value.
type setting struct {
	flags []string
	// keys are the keys in the streaming block; a dot separates nested ones. An element * stands for a channel name, which
	// set receives as channel.
	keys  []string
	kind  kind
	value string // placeholder in the usage; "" is the kind's
	usage string
	set   func(o *Options, v, channel string) error
	live  bool // a reload applies it
	// def is the default, as the usage and the reference show it. values are the possible values of an enumeration. needs, if
	// set, is what else has to be set.
	def    string
	values []string
	needs  *need
	// secret values are never shown. Each has a setting that names a file with the value; of is its secret.
	secret bool
	of     *setting
	state  state
	note   string // what is better, why it has no effect, or what replaces it
}

// or returns the setting with a default, and with its values if it is an enumeration.
func (it setting) or(def string, values ...string) setting {
	it.def, it.values = def, values
	return it
}

// state compares an option with NATS Streaming's option of the same name.
type state int

const (
	same     state = iota
	better         // note says what is better
	added          // NATS Streaming does not have it
	noEffect       // accepted; the note is logged
	refused        // an error with the note, unless the value is false
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
	anything // any value
)

// group is a section of the usage.
type group struct {
	title    string
	settings []setting
}

// groups are all options of the streaming part, in the order of the usage. Names and aliases are those of NATS Streaming.
var groups = []group{
	{"Streaming options", streamingSettings},
	{"Event channels", eventSettings},
	{"Encrypted fields of event channels (docs/operate/personal-data.md)", slices.Concat(encryptSettings, withFiles(keySettings))},
	{"Consumers (docs/reference/consumers.md)", consumerSettings},
	{"Routes", routeSettings},
	{"Store options", withFiles(storeSettings)},
	{"Limits (default: unlimited)", limitSettings},
	{"API for gRPC and HTTP", withFiles(grpcSettings)},
	{"Rights (docs/operate/security.md)", accessSettings},
	{"Connection to NATS", withFiles(natsSettings)},
	{"NATS Streaming options that are accepted without effect", formerSettings},
	{"NATS Streaming options that are refused", refusedSettings},
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

// settingsByKey maps keys of the configuration file to options.
var settingsByKey = make(map[string]*setting)

func init() {
	for _, it := range settings {
		for _, k := range it.keys {
			settingsByKey[k] = it
		}
	}
}

// apply sets the option. name is the flag or key that was used.
func (it *setting) apply(o *Options, name, v, channel string) error {
	if err := it.check(v); err != nil {
		return err
	}
	for _, value := range it.values {
		if strings.EqualFold(v, value) {
			v = value
		}
	}
	if it.of == nil {
		o.given[it.name()] = o.where(name)
	}
	name = o.here + name
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
	if it.secret || it.of != nil {
		secret, inFile := it, it.of != nil
		if inFile {
			secret = it.of
		}
		if err := o.noteSecret(secret, inFile); err != nil {
			return err
		}
	}
	if it.of != nil {
		secret, err := readSecret(v)
		if err != nil {
			return err
		}
		it, v = it.of, secret
		o.given[it.name()] = name
	}
	o.record(it, v, channel)
	o.show(it, v, channel)
	return it.set(o, v, channel)
}

// show notes what people may see of a value. Blocks and routes describe themselves.
func (o *Options) show(it *setting, v, channel string) {
	if o.route != nil || o.block != nil || it.kind == block {
		return
	}
	name := it.name()
	if channel != "" {
		name += " of " + channel
	}
	if v = hide(it.name(), v); it.secret {
		v = hiddenValue
	}
	o.Shown[name] = v
}

// name is the name of the setting in the log: its longest flag, or its first key.
func (it *setting) name() string {
	name := ""
	for _, f := range it.flags {
		if len(f) > len(name) {
			name = f
		}
	}
	if name == "" {
		name = it.keys[0]
	}
	return name
}

// record notes a value that counts until the server ends. Flags replace the values of the file, where several blocks add theirs.
func (o *Options) record(it *setting, v, channel string) {
	name := it.name()
	switch {
	case it.live:
		return
	case channel != "":
		name += " of " + channel
	case o.route != nil || o.block != nil:
		v = fmt.Sprintf("%s\x00%d %s", o.Applied[name], o.index, v)
	}
	o.Applied[name] = v
}

// where says where an option is set: "server.conf:7: key" or "flag -name".
func (o *Options) where(name string) string {
	if o.here == "" && strings.HasPrefix(name, "-") {
		return "flag " + name
	}
	return o.here + name
}

// check reports whether v is a value of the setting. Case does not matter to enumerations.
func (it *setting) check(v string) error {
	sameText := func(want string) bool { return strings.EqualFold(v, want) }
	if v == "" || it.values == nil || slices.ContainsFunc(it.values, sameText) {
		return it.kind.check(v)
	}
	last := len(it.values) - 1
	return fmt.Errorf("%q must be %s or %s%s", v, strings.Join(it.values[:last], ", "), it.values[last], didYouMean("", v, it.values))
}

// check reports whether v is a value of the kind.
func (k kind) check(v string) error {
	var err error
	switch k {
	case toggle:
		if _, err = strconv.ParseBool(v); err != nil {
			err = fmt.Errorf("%q must be true or false", v)
		}
	case count:
		if _, err = strconv.ParseInt(v, 10, 64); err != nil {
			err = fmt.Errorf("%q is not a number such as 1000", v)
		}
	case size:
		_, err = parseSize(v)
	case duration:
		if _, err = time.ParseDuration(v); err != nil {
			err = fmt.Errorf("%q is not a duration: write one such as 10s, 1h30m or 168h", v)
		}
	}
	return err
}

// parseSize returns a number of bytes. It accepts the units of NATS' configuration.
func parseSize(v string) (int64, error) {
	m, err := conf.Parse("size: " + v)
	if n, ok := m["size"].(int64); err == nil && ok {
		return n, nil
	}
	return 0, fmt.Errorf("%q is not a size: write one such as 1024, 10MB or 10GB", v)
}

func setString(field func(*Options) *string) func(*Options, string, string) error {
	return func(o *Options, v, _ string) error {
		*field(o) = v
		return nil
	}
}

func setBool(fields ...func(*Options) *bool) func(*Options, string, string) error {
	return func(o *Options, v, _ string) error {
		on, err := strconv.ParseBool(v)
		for _, f := range fields {
			*f(o) = on
		}
		return err
	}
}

// setCount sets a non-negative number.
func setCount(field func(*Options) *int) func(*Options, string, string) error {
	return func(o *Options, v, _ string) error {
		n, err := strconv.Atoi(v)
		if err == nil && n < 0 {
			err = fmt.Errorf("%d must not be negative", n)
		}
		*field(o) = n
		return err
	}
}

// setSize sets a number of bytes.
func setSize(field func(*Options) *int64) func(*Options, string, string) error {
	return func(o *Options, v, _ string) (err error) {
		*field(o), err = parseSize(v)
		return err
	}
}

func setDuration(field func(*Options) *time.Duration) func(*Options, string, string) error {
	return func(o *Options, v, _ string) (err error) {
		*field(o), err = time.ParseDuration(v)
		return err
	}
}

// splitList returns the elements of a comma-separated list.
func splitList(v string) []string {
	var out []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// under returns the keys prefixed with each of the blocks.
func under(blocks []string, keys ...string) []string {
	var out []string
	for _, b := range blocks {
		for _, k := range keys {
			out = append(out, b+"."+k)
		}
	}
	return slices.Clip(out)
}

// isAlias reports whether lists of keys leave out the key: it uses an alias of its block's name, or it is a limit of a single
// channel, which repeats a key of limits.
func isAlias(key string) bool {
	for _, names := range [][]string{limitBlocks, channelBlocks, sqlBlocks, fileBlocks} {
		for _, n := range names[1:] {
			if strings.HasPrefix(key, n+".") || key == n {
				return true
			}
		}
	}
	return strings.Contains(key, "*")
}
