package tool_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// terminal is a pseudo-terminal at which a program runs.
type terminal struct {
	t       *testing.T
	cmd     *exec.Cmd
	control *os.File

	mu     sync.Mutex // guards screen
	screen bytes.Buffer
	ended  chan struct{} // closed when the program and its output have ended
}

// at starts the tool at a terminal.
func (u *user) at(args ...string) *terminal {
	u.t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = control.Close() }) // it may be closed already
	if err := unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		u.t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err != nil {
		u.t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(control.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 150}); err != nil {
		u.t.Fatal(err)
	}
	own, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		u.t.Fatal(err)
	}
	cmd := u.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = own, own, own
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		u.t.Fatal(err)
	}
	p := &terminal{t: u.t, cmd: cmd, control: control, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		chunk := make([]byte, 4096)
		for {
			n, err := control.Read(chunk) // fails when the program has ended
			p.mu.Lock()
			p.screen.Write(chunk[:n])
			p.mu.Unlock()
			if err != nil {
				_ = cmd.Wait() // returns the status as an error
				return
			}
		}
	}()
	return p
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// wait waits until the terminal has shown a text.
func (p *terminal) wait(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(harness.Patience); !strings.Contains(p.text(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the terminal has no %q: %q", text, p.text())
		}
	}
}

// press presses keys.
func (p *terminal) press(keys string) {
	p.t.Helper()
	if _, err := p.control.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits until the program ends, with a status.
func (p *terminal) ends(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(harness.Patience):
		p.t.Fatalf("it does not end: %q", p.text())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("status %d, want %d: %q", got, status, p.text())
	}
}

// At a terminal, top draws until q, and gives the screen back; what cannot be undone is asked for; a table fits the width.
func TestAtTerminal(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fill()
	for keys, status := range map[string]int{"q": 0, "\x03": 0} {
		top := u.at("top", "--interval", "100ms")
		top.wait("appended")
		top.wait("q quits")
		top.press(keys)
		top.ends(status)
		if !strings.HasSuffix(top.text(), "\x1b[?25h\x1b[?1049l") {
			t.Errorf("top leaves the terminal as %q", top.text())
		}
	}
	u.ok("consumers", "set", orders, "g", "--max-deliveries", "1")
	drop := u.at("consumers", "drop", orders, "g")
	drop.wait("? [y/N]")
	drop.press("\n")
	drop.ends(refused)
	drop = u.at("consumers", "drop", orders, "g")
	drop.wait("? [y/N]")
	drop.press("y\n")
	drop.ends(0)
	u.fails(notFound, "g", "consumers", "show", orders, "g")

	u.ok("append", orders, "-t", "T", "-a", "a", "-d", `"`+strings.Repeat("wide ", 100)+`"`)
	read := u.at("read")
	read.ends(0)
	for line := range strings.Lines(read.text()) {
		if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > 150 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	tail := u.at("tail")
	tail.wait("wide")
	tail.press("\x03")
	tail.ends(interrupted)
}
