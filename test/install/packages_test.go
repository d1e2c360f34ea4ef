//go:build linux

package install

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const (
	configuration = "/etc/nats-streaming-server/nats-streaming-server.conf"
	state         = "/var/lib/nats-streaming-server"
	user          = "nats-streaming-server"
)

// packages makes the server and both packages in the directory, once for all tests.
var packages = sync.OnceValue(func() error {
	out, err := exec.Command("sh", "-ec", `cd ../..; make build BIN="$1" TOOL_BIN="$2" VERSION=1.2.3 && deploy/packages/pack "$1" "$2" "$3" 1.2.3 "$4"`,
		"sh", binary(), filepath.Join(directory, "eventstore"), runtime.GOARCH, directory).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// binary is the server that packages makes.
func binary() string { return filepath.Join(directory, "nats-streaming-server") }

// bring copies a package of this kind to the machine and returns its name there.
func (m *machine) bring(kind string) string {
	m.t.Helper()
	if err := packages(); err != nil {
		m.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(directory, "*."+kind))
	if err != nil || len(files) != 1 {
		m.t.Fatalf("%s packages: %v, %v", kind, files, err)
	}
	file := "/nats-streaming-server." + kind
	m.run("cp", files[0], file)
	return file
}

// start starts the installed server as its unit does: the command, the user, the directory, and no environment of ours.
func (m *machine) start() *harness.Server {
	m.t.Helper()
	m.run("install", "-d", "-m", "0700", "-o", user, "-g", user, state)
	unit := m.run("sh", "-c", "cat /lib/systemd/system/nats-streaming-server.service")
	_, command, _ := strings.Cut(unit, "\nExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	args := append([]string{"setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env", "--no-new-privs", "--bounding-set=-all"},
		strings.Fields(command)...)
	s := harness.New(m.t, "nsenter")
	s.Args = append(m.command(args...).Args[1:], s.Args...) // a port of its own
	s.Launch()
	s.Ready()
	return s
}

func (m *machine) exists(file string) bool { return m.command("test", "-e", file).Run() == nil }

// The deb is installed. The server starts with the packaged configuration, as the user that the package made. Removing the package
// keeps the events, purging it leaves nothing.
func TestDeb(t *testing.T) {
	t.Parallel()
	require(t, "dpkg", "systemd-analyze", "nsenter", "setpriv")
	m := newMachine(t)
	deb := m.bring("deb")
	m.run("dpkg", "-i", deb)
	m.run("systemd-analyze", "verify", "/lib/systemd/system/nats-streaming-server.service")
	if out := m.run("nats-streaming-server", "-version"); !strings.HasPrefix(out, "nats-streaming-server version 1.2.3,") {
		t.Error(out)
	}
	if out := m.run("eventstore", "--version"); !strings.HasPrefix(out, "eventstore version 1.2.3") {
		t.Error(out)
	}
	for _, file := range []string{"/usr/share/man/man1/eventstore-consumers-reset.1.gz", "/usr/share/bash-completion/completions/eventstore"} {
		if !m.exists(file) {
			t.Errorf("there is no %s", file)
		}
	}
	if got := m.run("stat", "-c", "%a", "/etc/nats-streaming-server/environment"); got != "600\n" {
		t.Errorf("the file of secrets has the mode %s", got)
	}
	s := m.start()
	publish(t, s.URL(), "hello")
	if got := m.run("stat", "-c", "%U %a", state+"/eventstore.db"); !strings.HasPrefix(got, user+" 6") {
		t.Errorf("the database belongs to %s", got)
	}
	s.Signal(syscall.SIGTERM)
	if status := s.Process.ExitCode(); status != 143 {
		t.Errorf("exit status %d after SIGTERM, the unit expects 143", status)
	}

	m.run("sh", "-c", "echo '# mine' >>"+configuration)
	m.run("dpkg", "--remove", user)
	if m.exists("/usr/bin/nats-streaming-server") || !m.exists(state+"/eventstore.db") {
		t.Error("removed: the program must be gone, the events must stay")
	}
	m.run("dpkg", "-i", deb)
	if !strings.Contains(m.run("cat", configuration), "# mine") {
		t.Error("the configuration was replaced")
	}
	s = m.start()
	if got := first(t, s.URL()); got != "hello" {
		t.Errorf("installed again: got %q, want what was stored before", got)
	}
	s.Stop()
	m.run("dpkg", "--purge", user)
	for _, file := range []string{state, filepath.Dir(configuration), "/usr/share/doc/nats-streaming-server"} {
		if m.exists(file) {
			t.Errorf("purged: %s is still there", file)
		}
	}
	if m.command("id", user).Run() == nil {
		t.Error("purged: the user is still there")
	}
}

// The rpm is installed, serves, and is removed.
func TestRPM(t *testing.T) {
	t.Parallel()
	require(t, "rpm", "nsenter", "setpriv")
	m := newMachine(t)
	m.run("rpm", "--install", "--nodeps", m.bring("rpm")) // rpm of another distribution knows no shadow-utils
	if files := m.run("rpm", "--query", "--list", user); !strings.Contains(files, "/usr/share/doc/nats-streaming-server/copyright") {
		t.Errorf("no licence among the files:\n%s", files)
	}
	s := m.start()
	publish(t, s.URL(), "hello")
	s.Stop()
	m.run("rpm", "--erase", user)
	if m.exists("/usr/bin/nats-streaming-server") || !m.exists(state+"/eventstore.db") {
		t.Error("removed: the program must be gone, the events must stay")
	}
}
