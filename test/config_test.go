package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// launchWith runs the binary with only these arguments, in an empty directory. NATS' configuration file names the port
// with %d.
func launchWith(t *testing.T, conf string, args ...string) *server {
	t.Helper()
	s := prepare(t, harness.Binary())
	s.Args = nil
	file := write(t, "nats.conf", strings.Replace(conf, "%d", strconv.Itoa(s.Port), 1))
	included(t, file)
	for _, a := range args {
		s.Args = append(s.Args, strings.Replace(a, "NATS_CONF", file, 1))
	}
	s.Launch()
	s.Ready()
	return s
}

// included writes a file for a configuration file to include. Names are relative to the including file.
func included(t *testing.T, by string) {
	t.Helper()
	const text = "cluster_id: from-file\nstore: memory\nlimits {\n mm: 5\n mb: true\n}\n"
	for name, text := range map[string]string{"right.conf": strings.Replace(text, "mb: true", "", 1), "wrong.conf": text} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(by), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// One file configures NATS and the streaming part, whichever flag names it. With two files, each part has its own.
func TestConfigurationFiles(t *testing.T) {
	t.Parallel()
	const nats = "host: 127.0.0.1\nport: %d\n"
	const streaming = "store: memory, cluster_id: from-file, hb_fail_count: 7"
	for name, it := range map[string]struct {
		conf string
		args []string
	}{
		"c":           {nats + "streaming { " + streaming + " }", []string{"-c", "NATS_CONF"}},
		"sc":          {nats + "streaming { " + streaming + " }", []string{"-sc", "NATS_CONF"}},
		"stan_config": {nats + "streaming { " + streaming + " }", []string{"--stan_config=NATS_CONF"}},
		"flat":        {nats + streaming, []string{"-c", "NATS_CONF"}},
		"both":        {nats + "streaming { store: nonsense }", []string{"-c", "NATS_CONF", "-sc", write(t, "streaming.conf", streaming)}},
		"included":    {nats + "streaming { include right.conf }", []string{"-c", "NATS_CONF"}},
		"flags":       {nats + "streaming { store: nonsense, cluster_id: other }", []string{"-c", "NATS_CONF", "-st", "memory", "-cid", "from-file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := launchWith(t, it.conf, it.args...)
			s.WaitLog(t, "Starting nats-streaming-server[from-file]")
			if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) > 0 {
				t.Errorf("the store is not MEMORY: %v %v", entries, err)
			}
		})
	}
}

// An option without effect is logged once. An option that would change safety or topology stops the start, as an error
// does.
func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"streaming {\n cid: c\n\n limits {\n  nonsense: 5\n }\n}":            `nats.conf:5: unknown key "limits.nonsense"`,
		"streaming {\n cid: 5\n}":                                            `nats.conf:2: parameter "cid" value is expected to be string, got int64`,
		"streaming {\n include wrong.conf\n}":                                `wrong.conf:5: parameter "mb" value is expected to be int64, got bool`,
		"streaming {\n partitioning: true\n}":                                `nats.conf:2: key "partitioning": not supported: start a server with a cluster ID and a database of its own`,
		"streaming {\n cluster {\n  node_id: a\n }\n}":                       `key "cluster": not supported: start several servers`,
		"streaming {\n encrypt: true\n}":                                     `nats.conf:2: key "encrypt": not supported: messages are columns`,
		"streaming {\n limits { channels { \"eventstore.a\" { mm: 5 } } } }": "would remove events",
		"streaming {\n limits { channels { \"a..b\" { mm: 5 } } } }":         `limits of channel "a..b"`,
		"streaming: 5": `nats.conf:1: parameter "streaming" value is expected to be map, got int64`,
		"streaming {":  "nats.conf",
		"authorization { users: [{user: a}, {user: a}] }\nstreaming { cid: c }": "nats.conf",
	} {
		file := write(t, "nats.conf", text)
		included(t, file)
		out, status := runBinary(t, "-p", "-1", "-st", "memory", "-c", file)
		if status != 1 || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s\nstatus %d, want the line %q, got\n%s", text, status, want, out)
		}
	}
	for flag, want := range map[string]string{
		"-clustered":        "flag -clustered: not supported: start several servers with -store SQL on one database instead",
		"-encrypt=true":     "flag -encrypt: not supported: messages are columns",
		"-encryption_key=k": "flag -encryption_key: not supported",
	} {
		if out, status := runBinary(t, "-p", "-1", "-st", "memory", flag); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, want %q, got\n%s", flag, status, want, out)
		}
	}
	cmd := exec.Command(harness.Binary(), "-p", "-1", "-st", "memory")
	cmd.Env = append(os.Environ(), "NATS_STREAMING_ENCRYPTION_KEY=k")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "NATS_STREAMING_ENCRYPTION_KEY: not supported: messages") {
		t.Errorf("with NATS_STREAMING_ENCRYPTION_KEY: %v, output\n%s", err, out)
	}
}

func TestCheckConfiguration(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-c", "-sc"} {
		if out, status := runBinary(t, "-t", flag, write(t, "nats.conf", "streaming { cid: c }")); status != 0 || !strings.Contains(out, "valid") {
			t.Errorf("%s: status %d, output %s", flag, status, out)
		}
		if out, status := runBinary(t, "-t", flag, write(t, "nats.conf", "streaming { x: c }")); status != 1 || !strings.Contains(out, `unknown key "x"`) {
			t.Errorf("%s: status %d, output %s", flag, status, out)
		}
	}
}

// A directory with a file store of NATS Streaming must not look like an empty store.
func TestFormerFileStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server.dat"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := runBinary(t, "-p", "-1", "-store", "FILE", "-dir", dir); status != 1 || !strings.Contains(out, "NATS Streaming FILE store") {
		t.Errorf("status %d, output %s", status, out)
	}
}

func TestStoreLimitsInLog(t *testing.T) {
	t.Parallel()
	s := launchWith(t, `host: 127.0.0.1
port: %d
streaming { store: memory, limits { max_msgs: 5, channels { "foo.>" { max_bytes: 10MB, max_age: "24h" }, "foo.*" { mm: 0 } } } }
`, "-c", "NATS_CONF", "-mc", "10")
	var table []string
	for line := range strings.Lines(s.Log.String()) {
		if _, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "[INF] STREAM: "); ok {
			if strings.HasPrefix(text, "---------- Store Limits") || table != nil {
				table = append(table, text)
			}
		}
	}
	want := `---------- Store Limits ----------
Channels:                   10
--------- Channels Limits --------
  Subscriptions:     unlimited *
  Messages     :             5
  Bytes        :     unlimited *
  Age          :     unlimited *
  Inactivity   :     unlimited *
-------- List of Channels --------
foo.>
 |-> Bytes                10.00 MB
 |-> Age                   24h0m0s
 foo.*
  |-> Messages           unlimited
----------------------------------
`
	if got := strings.Join(table, "\n"); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
