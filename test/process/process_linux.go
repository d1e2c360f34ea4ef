package process

import (
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

// Pause stops the program and its children until Resume. When it returns, none of their threads runs any more.
func (p *Process) Pause() error {
	p.Signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopPatience); ; time.Sleep(time.Millisecond) {
		if !running(p.PID()) {
			// Now the list of its children is complete, and stays so.
			if err := p.signalChildren(syscall.SIGSTOP); err != nil {
				return err
			}
			children, err := p.children()
			if err != nil || !slices.ContainsFunc(children, running) {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("threads of process %d run %v after SIGSTOP", p.PID(), stopPatience)
		}
	}
}

// stopPatience bounds the wait for threads that SIGSTOP has not reached yet, such as one in a system call that writes.
const stopPatience = 10 * time.Second

// running says whether a thread of a process is not stopped yet.
func running(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state …, proc(5); the name may hold anything.
		if at := strings.LastIndex(string(stat), ") "); at < 0 || !strings.ContainsRune("TtZX", rune(stat[at+2])) {
			return true
		}
	}
	return false
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
