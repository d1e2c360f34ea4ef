package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// runBinary runs the binary to completion and returns its output and exit status. Whatever a start refuses, -t must refuse as well.
func runBinary(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, status := runOnce(t, args...)
	if isStart := strings.HasPrefix(args[0], "-") && !slices.Contains(args, "-t") && !slices.Contains(args, "-sl"); status != 0 && isStart {
		if checked, status := runOnce(t, append([]string{"-t"}, args...)...); status != 1 {
			t.Errorf("%q: -t passes what a start refuses:\n%s\nThe start:\n%s", args, checked, out)
		}
	}
	return out, status
}

func runOnce(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(harness.Plain(t), args...)
	cmd.Dir = t.TempDir()
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(file, []byte("port: -1\nstreaming {\n  cluster_id: c\n  nonsense: 1\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	occupied := filepath.Join(dir, "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, it := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":       {[]string{"-nonsense"}, "flag provided but not defined: -nonsense"},
		"bad value":          {[]string{"-hbi", "soon"}, "-hbi"},
		"bad store":          {[]string{"-store", "PAPER"}, "PAPER"},
		"no driver":          {[]string{"-store", "SQL"}, "-sql_driver"},
		"no source":          {[]string{"-store", "SQL", "-sql_driver", "postgres"}, "-sql_source"},
		"bad driver":         {[]string{"-p", "-1", "-store", "SQL", "-sql_driver", "oracle", "-sql_source", "x"}, "oracle"},
		"bad cluster":        {[]string{"-cid", "a b"}, "cluster ID"},
		"bad pattern":        {[]string{"-event_channels", "a..b"}, "a..b"},
		"unknown key":        {[]string{"-c", file}, file + ":4: unknown key \"nonsense\""},
		"directory no write": {[]string{"-p", "-1", "-dir", filepath.Join(occupied, "data")}, occupied},
		"postgres DSN":       {[]string{"-p", "-1", "-store", "SQL", "-sql_driver", "postgres", "-sql_source", "postgres://u:hunter2@%zz/"}, "postgres"},
		"postgres away":      {[]string{"-p", "-1", "-store", "SQL", "-sql_driver", "postgres", "-sql_source", "postgres://u:hunter2@127.0.0.1:1/x"}, "refused"},
		"mysql DSN":          {[]string{"-p", "-1", "-store", "SQL", "-sql_driver", "mysql", "-sql_source", "u:hunter2@"}, "mysql"},
		"mysql away":         {[]string{"-p", "-1", "-store", "SQL", "-sql_driver", "mysql", "-sql_source", "u:hunter2@tcp(127.0.0.1:1)/x"}, "refused"},
		"NATS away":          {[]string{"-ns", "nats://u:hunter2@127.0.0.1:1", "-store", "MEMORY"}, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, status := runBinary(t, it.args...)
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			var found []string
			for line := range strings.Lines(out) {
				if strings.Contains(line, it.want) {
					found = append(found, line)
				}
			}
			if len(found) != 1 {
				t.Errorf("%d lines contain %q, want 1:\n%s", len(found), it.want, out)
			}
			if strings.Contains(out, "hunter2") {
				t.Errorf("the output contains the password:\n%s", out)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{"-help": "-sql_driver", "--version": "nats-streaming-server version"} {
		if out, status := runBinary(t, flag); status != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, output %s", flag, status, out)
		}
	}
}

// Without -store, the server keeps its data in ./data. NATS Streaming options that it does not need are accepted with a
// log line that explains why.
func TestDefaultStore(t *testing.T) {
	t.Parallel()
	s := prepare(t, harness.Binary(), "-sql_no_caching", "-sql_bulk_insert_limit", "1000")
	s.Launch()
	s.Ready()
	s.WaitLog(t, "-sql_no_caching has no effect: nothing is cached")
	s.WaitLog(t, "-sql_bulk_insert_limit has no effect: messages that wait")
	publish(t, s.connect("client"), orders, event(t, "A", "T"))
	s.Kill()
	s.Restart()
	_, in := subscribe(t, s.connect("client-2"), orders, stan.DeliverAllAvailable())
	if got := in.next(t).Sequence; got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	contiguous(t, "sqlite", filepath.Join(s.Dir, "data", "eventstore.db"), orders, 1)
}

func TestMemoryStoreForgets(t *testing.T) {
	t.Parallel()
	s := prepare(t, harness.Binary(), "-st", "memory")
	s.Launch()
	s.Ready()
	fill(t, s.connect("client"), "c", 10)
	s.Stop()
	s.Restart()
	sc := s.connect("client")
	_, in := subscribe(t, sc, "c", stan.DeliverAllAvailable())
	in.marker(t, sc, "c", 1)
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) > 0 {
		t.Errorf("files are left: %v %v", entries, err)
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 0, syscall.SIGTERM: 143} {
		s := start(t, "sqlite", databases.SQLite(t))
		s.Signal(sig)
		if got := s.Process.ExitCode(); got != want {
			t.Errorf("%v: exit status %d, want %d", sig, got, want)
		}
	}
}

// A server with another cluster ID must not serve this database.
func TestClusterIDIsStored(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	start(t, "sqlite", source, "-cid", "one").Stop()
	out, status := runBinary(t, "-p", "-1", "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", source, "-cid", "two")
	if status != 1 || !strings.Contains(out, `cluster ID "two" does not match recovered value of "one"`) {
		t.Errorf("status %d, output %s", status, out)
	}
}

// Without the right to change the schema, the server names the script to run.
func TestNoMigrate(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		args := []string{"-p", "-1", "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-sql_no_migrate"}
		out, status := runBinary(t, args...)
		if want := fmt.Sprintf("sql/%s/00001_baseline.sql", driver); status != 1 || !strings.Contains(out, want) {
			t.Errorf("status %d, output %s", status, out)
		}
		start(t, driver, source).Stop()
		start(t, driver, source, "-sql_no_migrate").Stop()
	})
}

func TestExternalNATS(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		defer ns.Shutdown()
		if !ns.ReadyForConnections(patience) {
			t.Fatal("the NATS server did not start")
		}
		s := start(t, driver, source, "-ns", ns.ClientURL())
		nc, err := nats.Connect(ns.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		sc := s.connect("client", stan.NatsConn(nc))
		_, in := subscribe(t, sc, orders)
		publish(t, sc, orders, event(t, "A", "T"))
		if got := in.next(t).Sequence; got != 1 {
			t.Errorf("got %d, want 1", got)
		}
		contiguous(t, driver, source, orders, 1)
	})
}
