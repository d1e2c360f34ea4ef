package docs

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nats-eventstore/nats-eventstore/test/page"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

const inside = "NATS_EVENTSTORE_TEST_NETWORK"

// enterNetwork runs the tests in a process with a network of its own, as root or in a user namespace, and returns its exit
// status. In that process, and if there is no such network, the status is -1.
func enterNetwork() (int, error) {
	if os.Getenv(inside) != "" {
		return -1, raiseLoopback()
	}
	// The new network reaches no proxy of modules, so what the server and the examples need is downloaded now.
	list := exec.Command("go", "list", "-deps", "./cmd/...", "./examples/...")
	list.Dir, list.Stderr = page.Root(), os.Stderr
	if err := list.Run(); err != nil {
		return -1, fmt.Errorf("%s: %w", list, err)
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN}
	}
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return -1, err
	}
	<-p.Done()
	return max(p.ExitCode(), 0), p.Wait()
}

// raiseLoopback sets the loopback interface up.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(request))); errno != 0 {
		return fmt.Errorf("set lo up: %w", errno)
	}
	return nil
}
