package server

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestInboxOrder: what was added comes out, in order, through memory or files, with the calls between.
func TestInboxOrder(t *testing.T) {
	t.Parallel()
	const n = 1000
	size := heldSize(&nats.Msg{Subject: "s", Reply: "r", Data: []byte("0000")})
	b := newInbox(10*size, t.TempDir(), slog.New(slog.DiscardHandler))
	var out []string
	next := 0
	add := func(count int) {
		for range count {
			b.add(&nats.Msg{Subject: "s", Reply: "r", Data: fmt.Appendf(nil, "%04d", next)})
			if at := next; at%7 == 0 {
				b.after(func() { out = append(out, fmt.Sprintf("after %04d", at)) })
			}
			next++
		}
	}
	most := 0
	take := func() {
		for _, item := range b.take() {
			if item.call != nil {
				item.call()
				continue
			}
			if item.msg.Subject != "s" || item.msg.Reply != "r" {
				t.Fatalf("message %+v", item.msg)
			}
			out = append(out, string(item.msg.Data))
			most = max(most, b.held)
			b.release(1, heldSize(item.msg))
		}
	}
	for next < n {
		add(25)
		for range 3 {
			take()
		}
	}
	b.close()
	for b.unanswered() > 0 || len(b.calls) > 0 {
		take()
	}
	if items := b.take(); items != nil {
		t.Errorf("%d items after the end", len(items))
	}
	i := 0
	for at := range next {
		want := []string{fmt.Sprintf("%04d", at)}
		if at%7 == 0 {
			want = append(want, fmt.Sprintf("after %04d", at))
		}
		for _, w := range want {
			if i >= len(out) || out[i] != w {
				t.Fatalf("item %d is not %q: %q", i, w, out[max(0, i-3):min(len(out), i+3)])
			}
			i++
		}
	}
	if i != len(out) {
		t.Errorf("%d items too many", len(out)-i)
	}
	if most > b.max || b.held != 0 || b.files.count != 0 || len(b.files.segments) != 0 {
		t.Errorf("%d bytes were held, at the end %d, %d messages in %d files", most, b.held, b.files.count, len(b.files.segments))
	}
}

// TestInboxStop: messages in files are discarded, and the calls behind them are made.
func TestInboxStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newInbox(1, dir, slog.New(slog.DiscardHandler))
	for range 3 {
		b.add(&nats.Msg{Data: []byte("x")})
	}
	called := false
	b.after(func() { called = true })
	b.add(&nats.Msg{Data: []byte("y")})
	b.stop()
	b.close()
	if items := b.take(); len(items) != 1 || string(items[0].msg.Data) != "x" {
		t.Fatalf("in memory: %v", items)
	}
	if items := b.take(); len(items) != 1 {
		t.Fatalf("call: %v", items)
	} else if items[0].call(); !called {
		t.Error("not called")
	}
	if items := b.take(); items != nil {
		t.Errorf("discarded: %v", items)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestInboxWithoutSpace: a message that no file takes waits until memory does.
func TestInboxWithoutSpace(t *testing.T) {
	t.Parallel()
	b := newInbox(1, filepath.Join(t.TempDir(), "missing"), slog.New(slog.DiscardHandler))
	b.add(&nats.Msg{Data: []byte("x")})
	added := make(chan struct{})
	go func() {
		defer close(added)
		b.add(&nats.Msg{Data: []byte("y")})
	}()
	for _, want := range []string{"x", "y"} {
		items := b.take()
		if len(items) != 1 || string(items[0].msg.Data) != want {
			t.Fatalf("%v, want %q", items, want)
		}
		b.release(1, heldSize(items[0].msg))
	}
	<-added
}
