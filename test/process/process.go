//go:build unix

// Package process starts the programs that tests and benchmarks need. On Linux, no program outlives the process that
// started it, even if that is killed.
package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// An Account is a system account to run a program as.
type Account struct{ UID, GID uint32 }

// A Process is a started program. Its methods may be called after it has ended.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // the result of Wait; written before done is closed
}

// Start starts cmd as an account, or as ours if as is nil. On Linux, the program gets a process group of its own, and
// the signal die when our process ends. Existing attributes of cmd are kept.
func Start(cmd *exec.Cmd, as *Account, die syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	setAttributes(cmd.SysProcAttr, die)
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.UID, Gid: as.GID}
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the parent thread ends, so the thread must live as long as the program.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID returns the program's process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the program to end and returns the result of exec.Cmd.Wait.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// ExitCode returns the exit status of a program that has ended, or -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal to the program if it still runs.
func (p *Process) Signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended
}
