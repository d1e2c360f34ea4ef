//go:build linux

package install

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// image is what buildah has built.
type image struct {
	root   string // its files
	Config struct {
		User            string
		Env, Entrypoint []string
		Cmd             []string
		Volumes         map[string]any
		Healthcheck     struct{ Test []string }
	} `json:"config"`
}

// buildImage builds the image from deploy/image/Containerfile. What its first stage would make in a container is made here, by the
// same script.
func buildImage(t *testing.T) *image {
	t.Helper()
	require(t, "buildah", "nsenter")
	dir := t.TempDir()
	output(t, exec.Command("../../deploy/image/rootfs", filepath.Join(dir, "out"), "VERSION=1.2.3"))
	buildah := func(args ...string) string {
		args = append([]string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "storage"), "--runroot", filepath.Join(dir, "run")}, args...)
		cmd := exec.Command("buildah", args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		return string(out)
	}
	buildah("build", "--quiet", "--isolation", "chroot", "--format", "docker", "--build-context", "build="+dir,
		"--file", "../../deploy/image/Containerfile", "--tag", "server", t.TempDir())
	var inspected struct{ Docker *image }
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", "server")), &inspected); err != nil {
		t.Fatal(err)
	}
	img := inspected.Docker
	container := buildah("from", "--quiet", "server")
	img.root = trim(buildah("mount", trim(container)))
	t.Cleanup(func() { buildah("unmount", "--all") })
	return img
}

// container runs an image as a container engine does: process 1 in namespaces of its own, a read-only root, a volume. The network
// is the host's.
type container struct {
	*harness.Server
	image *image
}

const enter = `set -e
root=$1 volume=$2 user=$3 roots=$4
shift 4
mkdir -p "$root/proc"
mount --bind "$root" "$root"
mount --bind "$volume" "$root/data"
[ -z "$roots" ] || mount --bind "$roots" "$root/etc/ssl/certs/ca-certificates.crt"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec /usr/sbin/chroot --userspec="$user" "$root" "$@"`

// run starts a container with arguments in place of Cmd. roots, if set, is a file with the authorities to trust.
func (i *image) run(t *testing.T, volume, roots string, args ...string) *container {
	t.Helper()
	args = append(append([]string{"-c", enter, "sh", i.root, volume, i.Config.User, roots}, i.Config.Entrypoint...), args...)
	c := &container{Server: &harness.Server{Log: harness.NewLog()}, image: i}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = i.Config.Env, c.Log, c.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Unshareflags: syscall.CLONE_NEWNS}
	var err error
	if c.Process, err = process.Start(cmd, nil, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.end(t, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("container %s:\n%s", args[4:], c.Log)
		}
	})
	return c
}

// serve is run of a server with ports of its own, until it is ready.
func (i *image) serve(t *testing.T, volume, roots string, args ...string) *container {
	t.Helper()
	nats, monitoring := freePort(t), freePort(t)
	c := i.run(t, volume, roots, append([]string{"-a", "127.0.0.1", "-p", strconv.Itoa(nats), "-m", strconv.Itoa(monitoring)}, args...)...)
	c.Port = nats
	c.WaitLog(t, "Streaming Server is ready")
	return c
}

// end signals process 1, waits for the end and returns the exit status.
func (c *container) end(t *testing.T, s syscall.Signal) int {
	t.Helper()
	c.Process.Signal(s)
	select {
	case <-c.Process.Done():
	case <-time.After(harness.Patience):
		t.Errorf("the container did not end within %v of %v", harness.Patience, s)
	}
	return c.Process.ExitCode()
}

// healthcheck runs the image's health check in the container, as its user.
func (c *container) healthcheck() ([]byte, error) {
	args := []string{"--target", strconv.Itoa(c.Process.PID()), "--mount", "--pid", "--root", "--setuid", "65532", "--setgid", "65532"}
	return exec.Command("nsenter", append(args, c.image.Config.Healthcheck.Test[1:]...)...).CombinedOutput()
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
