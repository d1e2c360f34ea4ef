//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

func setAttributes(*syscall.SysProcAttr, syscall.Signal) {}

// Kill ends the program with kill -9 and waits for it to end.
func (p *Process) Kill() error {
	p.Signal(syscall.SIGKILL)
	<-p.done
	return nil
}

// Pause stops the program, but not its children, until Resume.
func (p *Process) Pause() error {
	p.Signal(syscall.SIGSTOP)
	return nil
}

// Resume continues a paused program.
func (p *Process) Resume() error {
	p.Signal(syscall.SIGCONT)
	return nil
}

// Unlimited lifts the limit of LimitFiles.
const Unlimited = ^uint64(0)

// LimitFiles needs Linux.
func (p *Process) LimitFiles(uint64) error {
	return errors.New("limiting the files of another process needs Linux")
}
