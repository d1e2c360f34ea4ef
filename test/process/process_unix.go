//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

func setAttributes(*syscall.SysProcAttr, syscall.Signal) {}

// Kill ends the program by kill -9 and waits for its end.
func (p *Process) Kill() error {
	p.Signal(syscall.SIGKILL)
	<-p.done
	return nil
}

// Pause stops the program, not its children, until Resume.
func (p *Process) Pause() error {
	p.Signal(syscall.SIGSTOP)
	return nil
}

// Resume has a program that Pause stopped go on.
func (p *Process) Resume() error {
	p.Signal(syscall.SIGCONT)
	return nil
}

// Unlimited is no limit for LimitFiles.
const Unlimited = ^uint64(0)

// LimitFiles needs Linux.
func (p *Process) LimitFiles(uint64) error {
	return errors.New("only Linux limits the files of another process")
}
