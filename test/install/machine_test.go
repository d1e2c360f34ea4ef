//go:build linux

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// machine is a copy of this machine's files. What is installed there stays there.
type machine struct {
	t      *testing.T
	holder *process.Process // of the mounts, which end with it
	root   string
}

const mountMachine = `set -e
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for dir in proc dev; do mount --rbind /$dir "$1/root/$dir"; done
echo mounted
exec sleep infinity`

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ready, mounted, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ready.Close() }()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", mountMachine, "sh", dir)
	cmd.Stdout, cmd.Stderr = mounted, os.Stderr
	m := &machine{t: t, root: filepath.Join(dir, "root")}
	m.holder, err = process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.holder.Signal(syscall.SIGKILL)
		<-m.holder.Done()
	})
	if err := mounted.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the files of this machine cannot be overlaid: %v", err)
	}
	return m
}

// command returns a command that runs on the machine. Nothing is between it and its caller's signals.
func (m *machine) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--mount", "--target", strconv.Itoa(m.holder.PID()), "chroot", m.root}, args...)...)
}

// run runs a command on the machine and returns its output.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	return output(m.t, m.command(args...))
}
