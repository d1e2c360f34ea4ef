package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// referenceFlags are the flags of NATS Streaming 0.25.6, each with a valid value.
const referenceFlags = `cluster_id=c cid=c store=MEMORY st=MEMORY dir=d max_channels=1 mc=1 max_subs=1 msu=1 max_msgs=1 mm=1
max_bytes=1KB mb=1KB max_age=1s ma=1s max_inactivity=1s mi=1s hb_interval=1s hbi=1s hb_timeout=1s hbt=1s hb_fail_count=1
hbf=1 stan_debug=true SD=true stan_trace=true SV=true SDV=true secure=true tls_client_cert=f tls_client_key=f
tls_client_cacert=f nats_server=u ns=u stan_config= sc= io_batch_size=1 io_sleep_time=1 ft_group=g replace_durable=true
syslog_name=n sql_driver= sql_source= sql_no_caching=true sql_max_open_conns=1 sql_bulk_insert_limit=1
cluster_node_id=n cluster_bootstrap=true cluster_peers=a,b cluster_log_path=p cluster_log_cache_size=1
cluster_log_snapshots=1 cluster_trailing_logs=1 cluster_sync=true cluster_raft_logging=true
cluster_proceed_on_restore_failure=true cluster_allow_add_remove_node=true clustered=false encrypt=false
file_compact_enabled=true file_compact_frag=1 file_compact_interval=1 file_compact_min_size=1MB file_buffer_size=1MB
file_read_buffer_size=1MB file_crc=true file_crc_poly=1 file_sync=true file_slice_max_msgs=1 file_slice_max_bytes=1MB
file_slice_max_age=1s file_slice_archive_script=s file_fds_limit=1 file_parallel_recovery=1 file_truncate_bad_eof=true
file_auto_sync=1s`

// natsFlags are the flags of NATS Streaming 0.25.6 for the embedded server.
const natsFlags = `a=h addr=h p=1 port=1 P=f pid=f m=1 http_port=1 ms=1 https_port=1 l=f log=f T=false logtime=false s=true
syslog=true r=u remote_syslog=u D=true debug=true V=true trace=true DV=true user=u pass=p auth=t cluster=nats://h:1
no_advertise=true tls=false log_size_limit=1`

func TestFlagsOfTheReference(t *testing.T) {
	for _, f := range strings.Fields(referenceFlags + " " + natsFlags) {
		for _, dashes := range []string{"-", "--"} {
			if _, err := configureIn(t, "-store=MEMORY", dashes+f); err != nil {
				t.Errorf("%s%s: %v", dashes, f, err)
			}
		}
	}
	for f, want := range map[string]string{
		"-clustered":              "several servers",
		"-encrypt":                "encrypt the disk",
		"-encryption_key=k":       "encrypt the disk",
		"-encryption_cipher=AES":  "encrypt the disk",
		"-max_msgs=x":             `flag -max_msgs: "x" is not a number`,
		"-mm=-1":                  "must not be negative",
		"-mb=ten":                 `flag -mb: "ten" is not a size`,
		"-ma=10":                  `flag -ma: "10" is not a duration`,
		"-hbf=-1":                 "must not be negative",
		"-file_buffer_size=large": "is not a size",
		"-SD=perhaps":             "must be true or false",
	} {
		if _, err := configureIn(t, "-store=MEMORY", f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", f, err, want)
		}
	}
}

// configureIn runs configure with an empty data directory. Tests that use it must not be parallel, because NATS parses its
// flags into a global variable.
func configureIn(t *testing.T, args ...string) (config.Options, error) {
	t.Helper()
	return Configure(append([]string{"-dir", t.TempDir()}, args...))
}

// referenceKeys are the keys of NATS Streaming 0.25.6, each with a valid value; | separates aliases.
const referenceKeys = `
id|cid|cluster_id: "c"
discover_prefix: "d"
st|store|store_type|storetype: "MEMORY"
dir|datastore: "d"
sd|stan_debug: true
sv|stan_trace: true
ns|nats_server|nats_server_url: "nats://h:1"
credentials: "f"
secure: true
tls: {client_cert: "f"}
tls: {client_key: "f"}
tls: {client_ca|client_cacert: "f"}
tls: {server_name|server_hostname: "n"}
tls: {skip_verify|insecure: true}
limits|store_limits|storelimits: {mc|max_channels|maxchannels: 1}
limits: {msu|max_subs|max_subscriptions|maxsubscriptions: 1}
limits: {mm|max_msgs|maxmsgs|max_count|maxcount: 1}
limits: {mb|max_bytes|maxbytes: 1KB}
limits: {ma|max_age|maxage: "1s"}
limits: {mi|max_inactivity|maxinactivity: "1s"}
limits: {channels|channels_limits|channelslimits|per_channel|per_channel_limits: {"a.*": {}}}
limits: {channels: {"a.*": {msu|max_subs|max_subscriptions|maxsubscriptions: 1}}}
limits: {channels: {"a.*": {mm|max_msgs|maxmsgs|max_count|maxcount: 1}}}
limits: {channels: {"a.*": {mb|max_bytes|maxbytes: 1KB}}}
limits: {channels: {"a.*": {ma|max_age|maxage: "1s"}}}
limits: {channels: {"a.*": {mi|max_inactivity|maxinactivity: "1s"}}}
file|file_options: {compact|compact_enabled: true}
file: {compact_frag|compact_fragmentation: 1}
file: {compact_interval: 1}
file: {compact_min_size: 1}
file: {buffer_size: 1}
file: {crc|do_crc: true}
file: {crc_poly: 1}
file: {sync|do_sync|sync_on_flush: true}
file: {slice_max_msgs|slice_max_count|slice_msgs|slice_count: 1}
file: {slice_max_bytes|slice_max_size|slice_bytes|slice_size: 1}
file: {slice_max_age|slice_age|slice_max_time|slice_time_limit: "1s"}
file: {slice_archive_script|slice_archive|slice_script: "s"}
file: {file_descriptors_limit|fds_limit: 1}
file: {parallel_recovery: 1}
file: {file_read_buffer_size|read_buffer_size: 1}
file: {file_auto_sync|auto_sync: "1s"}
sql|sql_options: {no_caching: true}
sql: {max_open_conns|max_conns: 1}
sql: {bulk_insert_limit: 1}
hbi|hb_interval|server_to_client_hb_interval: "1s"
hbt|hb_timeout|server_to_client_hb_timeout: "1s"
hbf|hb_fail_count|server_to_client_hb_fail_count: 1
ft_group|ft_group_name: "g"
partitioning: false
syslog_name: "n"
encrypt: false
user|username: "u"
pass|password: "p"
token: "t"
nkey_seed_file: "f"
replace_durable|replace_durables|replace_duplicate_durable|replace_duplicate_durables: true
`

// eachAlias calls f once for each combination of aliases in the line.
func eachAlias(line string, f func(string)) {
	before, after, _ := strings.Cut(line, "|")
	i := strings.LastIndexAny(before, " {") + 1
	end := strings.IndexAny(after, ":")
	if end < 0 {
		f(line)
		return
	}
	for name := range strings.SplitSeq(before[i:]+"|"+after[:end], "|") {
		eachAlias(before[:i]+name+after[end:], f)
	}
}

func TestKeysOfTheReference(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	read := func(text string) error {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := defaultOptions()
		return o.readFile(file)
	}
	n := 0
	for line := range strings.Lines(strings.TrimSpace(referenceKeys)) {
		eachAlias(strings.TrimSpace(line), func(line string) {
			n++
			for _, text := range []string{"streaming {\n" + line + "\n}", "STREAMING: {" + strings.ToUpper(line[:1]) + line[1:] + "}", line} {
				if err := read(text); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		})
	}
	if n < 110 {
		t.Errorf("only %d keys", n)
	}
	for line, want := range map[string]string{
		"nonsense: 1":                        `:3: unknown key "nonsense"`,
		"limits { nonsense: 1 }":             `:3: unknown key "limits.nonsense"`,
		"limits { channels { a { x: 1 } } }": `:3: unknown key "limits.channels.*.x"`,
		"nonsense { a: 1 }":                  `:3: unknown key "nonsense"`,
		"cid: 5":                             `:3: parameter "cid" value is expected to be string, got int64`,
		"SD: maybe":                          `:3: parameter "SD" value is expected to be bool, got string`,
		"hbf: \"5\"":                         `:3: parameter "hbf" value is expected to be int64, got string`,
		"hbi: 5":                             `:3: parameter "hbi" value is expected to be string, got int64`,
		"hbi: \"5\"":                         `:3: key "hbi": "5" is not a duration`,
		"limits: 5":                          `:3: parameter "limits" value is expected to be map, got int64`,
		"limits { channels: [a] }":           `:3: parameter "channels" value is expected to be map, got slice`,
		"limits { channels { a: 5 } }":       `:3: parameter "a" value is expected to be map, got int64`,
		"limits { mm: -5 }":                  `:3: key "limits.mm": -5 must not be negative`,
		"limits { mm { a: 1 } }":             `:3: parameter "mm" value is expected to be int64, got map`,
		"cid { a: 1 }":                       `:3: parameter "cid" value is expected to be string, got map`,
		"partitioning: true":                 `:3: key "partitioning": not supported: start a server with`,
		"encrypt: true":                      `:3: key "encrypt": not supported: messages are columns`,
		"encryption_key: k":                  `:3: key "encryption_key": not supported`,
		"cluster { }":                        `:3: key "cluster": not supported: start several servers`,
		"cluster { node_id: a }":             `:3: key "cluster": not supported: start several servers`,
	} {
		err := read("port: 4222\nstreaming {\n" + line + "\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), file) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
}

// Without a streaming block, a cluster block may belong to NATS or to NATS Streaming: its keys decide.
func TestFlatFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cid: c\nunknown: 1\ncluster { name: a, listen: \"h:1\", routes: [\"nats://h:2\"] }": "",
		"cid: c\nCluster { node_id: a }":    "several servers",
		"cid: c\ncluster { peers: [a, b] }": "several servers",
		"cid: 1":                            "expected to be string",
		"cid: c\nid: d":                     "already given as",
		"cid: c\ncluster_id: c\nfile { crc: true, do_crc: false }": "", // either counts
	} {
		o := defaultOptions()
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := o.readFile(file)
		if want == "" && (err != nil || o.ClusterID != "c") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: cluster ID %q, error %v, want %q", text, o.ClusterID, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.conf")
	text := `streaming { limits {
		max_channels: 7, max_msgs: 5, max_bytes: 10MB, max_age: "1h"
		channels {
			"Foo.*" { mm: 0, mb: 1KB, ma: "0s", mi: "-1s" }
			foo.> { msu: -3 }
		}
	} }`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := configureIn(t, "-c", file, "-store", "memory", "-mm", "6", "-mi", "2m", "-mb", "2KB")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", o.Limits)
	want := fmt.Sprintf("%+v", eventlog.Limits{
		MaxChannels:   7,
		ChannelLimits: eventlog.ChannelLimits{MaxMsgs: 6, MaxBytes: 2 << 10, MaxAge: time.Hour, MaxInactivity: 2 * time.Minute},
		PerChannel: map[string]eventlog.ChannelLimits{
			"Foo.*": {MaxMsgs: -1, MaxBytes: 1 << 10, MaxAge: -1, MaxInactivity: -1},
			"foo.>": {MaxSubscriptions: -1},
		},
	})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o, err := configureIn(t, "-store", "memory"); err != nil || fmt.Sprint(o.Limits) != fmt.Sprint(eventlog.Limits{}) {
		t.Errorf("limits by default: %+v, error %v", o.Limits, err)
	}
}

// No two options share a flag or a key.
func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, it := range settings {
		for _, f := range it.flags {
			if seen["-"+f] {
				t.Errorf("flag %s twice", f)
			}
			seen["-"+f] = true
		}
		for _, k := range it.keys {
			if seen[k] {
				t.Errorf("key %s twice", k)
			}
			seen[k] = true
			if k != strings.ToLower(k) {
				t.Errorf("key %s is never found", k)
			}
		}
	}
}
