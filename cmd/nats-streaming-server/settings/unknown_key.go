package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// unknownKey returns the error of a key that its block does not have. It says where the key belongs, or what was probably meant.
func unknownKey(prefix, name string) error {
	key, low := prefix+strings.ToLower(name), strings.ToLower(name)
	var blocks, beside []string
	for _, k := range slices.Sorted(maps.Keys(settingsByKey)) {
		in, last := "", k
		if i := strings.LastIndex(k, "."); i >= 0 {
			in, last = k[:i+1], k[i+1:]
		}
		if last == low && !isAlias(k) {
			blocks = append(blocks, strings.TrimSuffix(in, "."))
		}
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			next, _, _ := strings.Cut(rest, ".")
			beside = append(beside, next)
		}
	}
	switch {
	case prefix == "" && natsKnows(name):
		return fmt.Errorf("unknown key %q: it belongs to NATS: move it out of the block streaming { ... }, to the top of the file", key)
	case len(blocks) == 1 && blocks[0] == "":
		return fmt.Errorf("unknown key %q: move it out of the block %s { ... }, to the top of the block streaming { ... }", key, strings.TrimSuffix(prefix, "."))
	case len(blocks) == 1:
		return fmt.Errorf("unknown key %q: it belongs in a block: %s", key, written(blocks[0]+"."+name))
	}
	if it := settingByFlag(low); it != nil {
		return fmt.Errorf("unknown key %q: that is its name as a flag: write %s", key, written(it.keys[0]))
	}
	hint := didYouMean("", name, beside)
	if hint == "" {
		hint = ": remove it, or see docs/reference/options.md"
	}
	return fmt.Errorf("unknown key %q%s", key, hint)
}

// written returns a key as it is written in the file, with its blocks.
func written(key string) string {
	return strings.ReplaceAll(key, ".", " { ") + ": ..." + strings.Repeat(" }", strings.Count(key, "."))
}

// settingByFlag returns the setting with a flag of the name, if a file can set it.
func settingByFlag(name string) *setting {
	for _, it := range settings {
		if slices.Contains(it.flags, name) && len(it.keys) > 0 {
			return it
		}
	}
	return nil
}

// unknownAtTop tells of a key at the top of a file that neither NATS nor the streaming part has. NATS Streaming ignored it, so it
// is an error only if it looks like a mistake.
func (o *Options) unknownAtTop(name string, tk any) error {
	if isVariable(tk) {
		return nil
	}
	if it := settingByFlag(strings.ToLower(name)); it != nil {
		return fmt.Errorf("unknown key %q: that is its name as a flag: write streaming { %s }", name, written(it.keys[0]))
	}
	names := append(slices.Clone(natsKeys), streamingKey)
	for k := range settingsByKey {
		first, _, _ := strings.Cut(k, ".")
		names = append(names, first)
	}
	slices.Sort(names)
	if hint := didYouMean("", name, names); hint != "" {
		return fmt.Errorf("unknown key %q%s", name, hint)
	}
	o.Notices = append(o.Notices, fmt.Sprintf("%skey %q has no effect: neither NATS nor the streaming part has it", o.here, name))
	return nil
}

// natsKeys are keys of NATS that an operator may have meant.
var natsKeys = []string{
	"accounts", "authorization", "client_advertise", "cluster", "debug", "gateway", "host", "http", "http_port", "https", "https_port", "jetstream",
	"leafnodes", "listen", "log_file", "logtime", "max_connections", "max_control_line", "max_payload", "max_pending", "max_subscriptions", "mqtt",
	"net", "no_auth_user", "operator", "pid_file", "ping_interval", "ping_max", "port", "resolver", "server_name", "system_account", "tls", "trace",
	"websocket", "write_deadline",
}

var (
	askingNATS  sync.Mutex // guards knownToNATS, and what NATS does with unknown keys
	knownToNATS = make(map[string]bool)
)

// natsKnows reports whether NATS has a key at the top of a configuration file. NATS says so itself: it complains about the
// value, or not at all.
func natsKnows(key string) bool {
	askingNATS.Lock()
	defer askingNATS.Unlock()
	known, asked := knownToNATS[key]
	if !asked {
		natsd.NoErrOnUnknownFields(false)
		defer natsd.NoErrOnUnknownFields(true)
		var o natsd.Options
		err := o.ProcessConfigString(fmt.Sprintf("%q: 0", key))
		known = err == nil || !strings.Contains(err.Error(), "unknown field")
		knownToNATS[key] = known
	}
	return known
}
