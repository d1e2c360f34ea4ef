package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func setAttributes(a *syscall.SysProcAttr, die syscall.Signal) {
	a.Setpgid, a.Pdeathsig = true, die
}

// Kill ends the program and its children with kill -9, and waits for all of them to end. PostgreSQL's children outlive their parent
// for a while: they could still commit, and a new server refuses to start beside them.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	err := p.Pause() // a stopped parent starts no more children
	children, listErr := p.children()
	var ends []unix.PollFd
	for _, child := range children {
		fd, err := unix.PidfdOpen(child, 0)
		if err != nil {
			continue // it has ended
		}
		defer func() { _ = unix.Close(fd) }()
		ends = append(ends, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may have ended
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	for len(ends) > 0 {
		switch n, pollErr := unix.Poll(ends, int(stopPatience.Milliseconds())); {
		case pollErr == nil && n == 0:
			return errors.Join(err, listErr, fmt.Errorf("children of process %d still run %v after SIGKILL", p.PID(), stopPatience))
		case pollErr != nil && !errors.Is(pollErr, unix.EINTR):
			return errors.Join(err, listErr, pollErr)
		}
		ends = slices.DeleteFunc(ends, func(end unix.PollFd) bool { return end.Revents != 0 })
	}
	return errors.Join(err, listErr)
}

// Pause stops the program and its children until Resume. When it returns, all of their threads have stopped.
func (p *Process) Pause() error {
	p.Signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopPatience); ; time.Sleep(time.Millisecond) {
		if !running(p.PID()) {
			// The list of children is now complete and cannot change.
			if err := p.signalChildren(syscall.SIGSTOP); err != nil {
				return err
			}
			children, err := p.children()
			if err != nil || !slices.ContainsFunc(children, running) {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("threads of process %d still run %v after SIGSTOP", p.PID(), stopPatience)
		}
	}
}

// stopPatience bounds the wait for threads that SIGSTOP has not reached yet, because they are in a system call.
const stopPatience = 10 * time.Second

// running reports whether a thread of the process is not stopped yet.
func running(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// pid (name) state …, see proc(5); the name may contain anything.
		if at := strings.LastIndex(string(stat), ") "); at < 0 || !strings.ContainsRune("TtZX", rune(stat[at+2])) {
			return true
		}
	}
	return false
}

// Resume continues a paused program.
func (p *Process) Resume() error {
	err := p.signalChildren(syscall.SIGCONT)
	p.Signal(syscall.SIGCONT)
	return err
}

// Unlimited lifts the limit of LimitFiles.
const Unlimited = unix.RLIM_INFINITY

// LimitFiles limits the size, in bytes, of files that the program writes. A write beyond the limit fails, as on a full
// disk.
func (p *Process) LimitFiles(bytes uint64) error {
	return unix.Prlimit(p.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil)
}

func (p *Process) signalChildren(s syscall.Signal) error {
	children, err := p.children()
	for _, child := range children {
		_ = syscall.Kill(child, s) // it may have ended
	}
	return err
}

func (p *Process) children() (pids []int, err error) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID()))
	for _, child := range strings.Fields(string(list)) {
		if n, err := strconv.Atoi(child); err == nil {
			pids = append(pids, n)
		}
	}
	return pids, err
}
