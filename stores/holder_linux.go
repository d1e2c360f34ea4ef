package stores

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/prometheus/procfs"
)

// hostNames returns what a process ID and a start time are relative to: the boot of the kernel, the namespaces of
// processes and clocks, and the host name. The host name distinguishes copies of a virtual machine.
func hostNames() ([][]byte, bool) {
	// /proc may belong to another namespace.
	if pid, err := os.Readlink("/proc/self"); err != nil || pid != strconv.Itoa(os.Getpid()) {
		return nil, false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, false
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil, false
	}
	clocks, err := os.Readlink("/proc/self/ns/time")
	if err != nil && !errors.Is(err, os.ErrNotExist) { // older kernels have none
		return nil, false
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, false
	}
	return [][]byte{boot, []byte(pids), []byte(clocks), []byte(name)}, true
}

func startOf(pid int) (uint64, bool) {
	stat, err := statOf(pid)
	return stat.Starttime, err == nil
}

func statOf(pid int) (procfs.ProcStat, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return p.Stat()
}

// ended reports whether a process of this host has ended: no process has its ID, another one has it, or only a zombie
// is left.
func (p process) ended() bool {
	pid := int(p.pid)
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := statOf(pid)
	if err != nil {
		return false // it may be hidden from us
	}
	return stat.Starttime != p.started || (stat.State == "Z" || stat.State == "X") && stat.NumThreads <= 1
}
