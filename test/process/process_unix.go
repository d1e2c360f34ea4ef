//go:build unix && !linux

package process

import "syscall"

func setAttributes(*syscall.SysProcAttr, syscall.Signal) {}

// Kill ends the program by kill -9 and waits for its end.
func (p *Process) Kill() error {
	p.Signal(syscall.SIGKILL)
	<-p.done
	return nil
}
