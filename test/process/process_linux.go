package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func setAttributes(a *syscall.SysProcAttr, die syscall.Signal) {
	a.Setpgid, a.Pdeathsig = true, die
}

// Kill ends the program and its children by kill -9, and waits for the
// program's end. Children matter: PostgreSQL's outlive their parent for a
// while, and could still commit.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.Signal(syscall.SIGSTOP) // a stopped parent starts no more children
	err := p.signalChildren(syscall.SIGKILL)
	p.Signal(syscall.SIGKILL)
	<-p.done
	return err
}

// Pause stops the program and its children until Resume.
func (p *Process) Pause() error {
	p.Signal(syscall.SIGSTOP)
	return p.signalChildren(syscall.SIGSTOP)
}

// Resume has a program that Pause stopped go on.
func (p *Process) Resume() error {
	err := p.signalChildren(syscall.SIGCONT)
	p.Signal(syscall.SIGCONT)
	return err
}

// Unlimited is no limit for LimitFiles.
const Unlimited = unix.RLIM_INFINITY

// LimitFiles bounds the size of the files that the program writes, in bytes:
// what would grow beyond fails, as on a full disk.
func (p *Process) LimitFiles(bytes uint64) error {
	return unix.Prlimit(p.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil)
}

func (p *Process) signalChildren(s syscall.Signal) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID()))
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, s) // it may have ended
		}
	}
	return err
}
