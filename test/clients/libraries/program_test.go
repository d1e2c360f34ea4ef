package libraries

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// program is a client in a process of its own, which a test commands in lines: words without spaces on its standard input, and
// on its standard output an answer for each, ok or error and the text. The first answer is that to its connect request.
//
//	publish CHANNEL DATA
//	subscribe NAME CHANNEL GROUP DURABLE START FROM ACKWAIT MAXINFLIGHT    (- for no group or durable)
//	ack NAME SEQUENCE
//	end NAME close|unsubscribe
//	close
//
// Between the answers it says what happens:
//
//	message NAME SEQUENCE REDELIVERED DATA
//	back
//	lost REASON
type program struct {
	process *process.Process
	stdin   io.Writer
	heard   chan struct{} // closed when all that the program said was heard
	answers chan error
	again   chan struct{}
	gone    chan string
	stderr  *harness.Log

	mu            sync.Mutex // guards subscriptions
	subscriptions map[string]*programSubscription
}

type programSubscription struct {
	program *program
	name    string
	in      chan message
}

// runs returns how to connect a client that is a program. Its last arguments are NATS' URL, the client ID, and a file of
// authorities if NATS speaks TLS.
func runs(command func(t *testing.T) *exec.Cmd) connector {
	return func(t *testing.T, to address, id string) (client, error) {
		t.Helper()
		cmd := command(t)
		if cmd.Args = append(cmd.Args, to.url, id); to.ca != "" {
			cmd.Args = append(cmd.Args, to.ca)
		}
		p := &program{
			answers: make(chan error, 16), heard: make(chan struct{}), again: make(chan struct{}, 16), gone: make(chan string, 16),
			stderr: harness.NewLog(), subscriptions: make(map[string]*programSubscription),
		}
		cmd.Stderr = p.stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.stdin = stdin
		// Not StdoutPipe: Wait would close it before everything was read.
		out, says := io.Pipe()
		cmd.Stdout = says
		if p.process, err = process.Start(cmd, nil, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		go func() {
			<-p.process.Done()
			_ = says.Close()
		}()
		go p.listen(out)
		t.Cleanup(func() {
			p.vanish()
			if t.Failed() && p.stderr.String() != "" {
				t.Logf("client %s: %s", id, p.stderr)
			}
		})
		return p, p.answer()
	}
}

func (p *program) listen(out io.Reader) {
	defer close(p.heard)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "ok":
			p.answers <- nil
		case "error":
			p.answers <- errors.New(rest)
		case "back":
			p.again <- struct{}{}
		case "lost":
			p.gone <- rest
		case "message":
			p.message(strings.Fields(rest))
		default:
			p.answers <- fmt.Errorf("the program says %q", lines.Text())
		}
	}
}

func (p *program) message(words []string) {
	if len(words) != 4 {
		p.answers <- fmt.Errorf("the program received a message of %q", words)
		return
	}
	sequence, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		p.answers <- err
		return
	}
	p.mu.Lock()
	sub := p.subscriptions[words[0]]
	p.mu.Unlock()
	sub.in <- message{sequence: sequence, redelivered: words[2] == "1", data: words[3]}
}

// say sends a command and awaits its answer.
func (p *program) say(words ...any) error {
	if _, err := fmt.Fprintln(p.stdin, words...); err != nil {
		return fmt.Errorf("command the program: %w", err)
	}
	return p.answer()
}

func (p *program) answer() error {
	select {
	case err := <-p.answers:
		return err
	case <-time.After(harness.Patience):
		return errors.New("the program does not answer")
	case <-p.heard:
		select {
		case err := <-p.answers:
			return err
		default:
			return fmt.Errorf("the program has ended: %s", p.stderr)
		}
	}
}

func (p *program) publish(channel, data string) error { return p.say("publish", channel, data) }

func (p *program) subscribe(channel string, o options) (subscription, error) {
	o = o.filled()
	p.mu.Lock()
	sub := &programSubscription{program: p, name: fmt.Sprintf("s%d", len(p.subscriptions)+1), in: make(chan message, 1<<12)}
	p.subscriptions[sub.name] = sub
	p.mu.Unlock()
	none := func(name string) string {
		if name == "" {
			return "-"
		}
		return name
	}
	return sub, p.say("subscribe", sub.name, channel, none(o.group), none(o.durable), o.start, o.from, o.ackWait, o.maxInFlight)
}

func (p *program) back() <-chan struct{} { return p.again }
func (p *program) lost() <-chan string   { return p.gone }
func (p *program) close() error          { return p.say("close") }

func (p *program) vanish() {
	p.process.Signal(syscall.SIGKILL)
	<-p.process.Done()
}

func (s *programSubscription) messages() <-chan message { return s.in }

func (s *programSubscription) ack(sequence uint64) error {
	return s.program.say("ack", s.name, sequence)
}
func (s *programSubscription) close() error       { return s.program.say("end", s.name, "close") }
func (s *programSubscription) unsubscribe() error { return s.program.say("end", s.name, "unsubscribe") }
