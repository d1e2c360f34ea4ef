package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
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
	pid := p.cmd.Process.Pid
	p.Signal(syscall.SIGSTOP) // a stopped parent starts no more children
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
		}
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	return err
}
