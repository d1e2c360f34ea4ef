package console

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"
)

// message is one of a stream.
type message struct {
	event string
	id    string // from which the browser goes on after an interruption, as its header Last-Event-ID
	data  []byte
}

func (m message) encoded() []byte {
	var b bytes.Buffer
	b.WriteString("event: " + m.event + "\n")
	if m.id != "" {
		b.WriteString("id: " + m.id + "\n")
	}
	for line := range bytes.Lines(m.data) {
		b.WriteString("data: ")
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	if len(m.data) == 0 {
		b.WriteString("data: \n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// stream answers with server-sent events (the HTML standard) until f returns or the browser goes.
func (v *visit) stream(f func(send func(message) error) error) error {
	control := http.NewResponseController(v.w)
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write([]byte("retry: 2000\n\n"))
	send := func(m message) error {
		if _, err := v.w.Write(m.encoded()); err != nil {
			return err
		}
		return control.Flush()
	}
	err := v.tellStandby(send)
	if err == nil {
		err = f(send)
	}
	if err != nil && v.ctx.Err() == nil {
		_, _ = v.w.Write(message{event: "failed", data: []byte(err.Error())}.encoded())
		_ = control.Flush()
	}
	return nil
}

// tellStandby sends what a page says about a server that does not lead.
func (v *visit) tellStandby(send func(message) error) error {
	part, err := v.render("overview", "standby", v.standby())
	if err != nil {
		return err
	}
	return send(message{event: "standby", data: part})
}

// renew looks again whether the visitor is known: a stream lasts longer than what a reload or a logout takes away.
func (v *visit) renew() bool {
	if !v.lasts() {
		return false
	}
	token, _ := v.console.sessions.token(v.id)
	v.ctx, v.visitor = v.console.api.Enter(v.r, token)
	return v.visitor.Known
}

// lasts reports whether the session in which the visit began, if there was one, has not ended.
func (v *visit) lasts() bool {
	_, logged := v.console.sessions.token(v.id)
	return logged || !v.began
}

// sessionEvery is how often a stream that waits for something else looks whether its session has ended.
const sessionEvery = time.Second

// inSession returns a context that ends with the session, until stop is called.
func (v *visit) inSession(ctx context.Context) (during context.Context, stop func()) {
	during, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		look := time.NewTicker(sessionEvery)
		defer look.Stop()
		for v.lasts() {
			select {
			case <-during.Done():
				return
			case <-look.C:
			}
		}
		cancel()
	})
	return during, func() {
		cancel()
		watching.Wait()
	}
}
