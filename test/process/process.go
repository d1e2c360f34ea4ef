//go:build unix

// Package process starts the programs that tests and benchmarks need, such
// that none of them outlives the process that started it, even if that is
// killed (on Linux).
package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// An Account is a system account that a program runs as.
type Account struct{ UID, GID uint32 }

// A Process is a started program. Its methods may be called after its end.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; written before done is closed
}

// Start starts cmd, in a process group of its own on Linux, as an account
// (nil: our own). The program gets the signal die when our process ends.
// Attributes that cmd has already are kept.
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
		// The parent whose death counts is the thread, not the process: the
		// thread must live as long as the program.
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

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the program and tells how it ended, as
// exec.Cmd.Wait does.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// ExitCode is the exit status of a program that has ended, -1 if a signal ended
// it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal to the program, if it still runs.
func (p *Process) Signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended
}
