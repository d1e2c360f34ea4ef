package differential

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// scenario is a named script.
type scenario struct {
	name string
	play func(*play)
}

// play is one run of a scenario and the record of its observations.
type play struct {
	t      *testing.T
	server *harness.Server
	conn   *wire.Conn
	prefix string // makes client IDs and channels unique to the run
	lines  []string
}

const (
	// quiet is how long to wait for further messages.
	quiet = 350 * time.Millisecond
	// noAnswer is how long to wait for an answer. It is longer than quiet, because it depends on how busy a server is.
	noAnswer = 2 * time.Second
)

func newPlay(t *testing.T, s *harness.Server, prefix string) *play {
	return &play{t: t, server: s, conn: wire.Dial(t, s.URL()), prefix: prefix}
}

var inboxes = regexp.MustCompile(`_INBOX\.[A-Za-z0-9._-]+`)

// note records a line. It normalizes values that are random or unique to the run.
func (p *play) note(what, format string, args ...any) {
	text := strings.ReplaceAll(what+": "+fmt.Sprintf(format, args...), p.prefix, "")
	p.lines = append(p.lines, inboxes.ReplaceAllString(text, "<inbox>"))
}

// result records the error in an answer.
func (p *play) result(what, text string) {
	if text == "" || text == wire.Timeout {
		p.note(what, "%s", map[string]string{"": "ok", wire.Timeout: wire.Timeout}[text])
		return
	}
	p.note(what, "%q", text)
}

func (p *play) id(name string) string { return p.prefix + name }

// client registers a client.
func (p *play) client(name string) *wire.Client { return p.clientOn(p.conn, name) }

func (p *play) clientOn(c *wire.Conn, name string) *wire.Client {
	p.t.Helper()
	cl := c.Prepare(p.id(name))
	resp := c.Connect(cl.Request())
	p.note("connect "+name, "%v", resp)
	return cl
}

// raw sends bytes and records the answer.
func (p *play) raw(what, subject string, req []byte, resp wire.Message) {
	p.t.Helper()
	if !p.conn.Ask(subject, req, resp, noAnswer) {
		p.result(what, wire.Timeout)
		return
	}
	p.note(what, "%v", resp)
}

// publish publishes and records the answer.
func (p *play) publish(cl *wire.Client, channel string, data ...string) {
	p.t.Helper()
	for _, d := range data {
		p.result("publish "+d, cl.Publish(&pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Subject: p.id(channel), Data: []byte(d)}))
	}
}

// sub subscribes and records the answer.
func (p *play) sub(cl *wire.Client, what, channel string, opts ...wire.Option) *wire.Sub {
	p.t.Helper()
	sub, text := cl.TrySub(p.id(channel), opts...)
	p.result("subscribe "+what, text)
	return sub
}

// receive records the next n messages.
func (p *play) receive(what string, sub *wire.Sub, n int) []uint64 {
	p.t.Helper()
	var got []string
	var seqs []uint64
	for range n {
		m, ok := sub.Within(30 * time.Second)
		if !ok {
			got = append(got, "nothing")
			break
		}
		got = append(got, m.String())
		seqs = append(seqs, m.Sequence)
		if m.Subject != sub.Channel || m.CRC32 != 0 || m.Timestamp == 0 {
			p.note("message", "%v", m)
		}
	}
	p.note(what, "%s", strings.Join(got, " "))
	return seqs
}

// rest records the messages of each subscription until quiet has passed without one.
func (p *play) rest(what string, subs ...*wire.Sub) {
	p.t.Helper()
	for i, got := range collect(quiet, subs) {
		p.note(fmt.Sprintf("%s %d", what, i), "%s", wire.Lines(got))
	}
}

// collect returns the messages of each subscription until quiet has passed without one.
func collect(quiet time.Duration, subs []*wire.Sub) [][]wire.Msg {
	got := make([][]wire.Msg, len(subs))
	for last := time.Now(); time.Since(last) < quiet; {
		for i, sub := range subs {
			for sub.Waiting() > 0 {
				got[i] = append(got[i], sub.Next())
				last = time.Now()
			}
		}
		<-time.After(time.Millisecond)
	}
	return got
}

// flushAcks returns when the server has processed all acks sent so far: closing a subscription waits for them.
func (p *play) flushAcks(cl *wire.Client) {
	p.t.Helper()
	p.result("flush acks", cl.Sub(p.id("flush")).Close())
}

// restart stops the server as an operator does, then restarts it.
func (p *play) restart() {
	p.t.Helper()
	back := make(chan struct{}, 1)
	p.conn.SetReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
	p.server.Stop()
	p.server.Restart()
	select {
	case <-back:
	case <-time.After(wire.Patience):
		p.t.Fatal("the connection was not restored")
	}
}
