package stan

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// TestInboxOrder: messages are published in the order in which they came, through memory or files, with the calls between.
func TestInboxOrder(t *testing.T) {
	t.Parallel()
	const n = 1000
	size := received{msg: &nats.Msg{Subject: "s", Reply: "r", Data: []byte("0000")}}.held()
	admission := eventlog.NewAdmission(10 * size)
	published := make(chan received, n)
	events := make(chan string, 2*n)
	b := newInbox(admission, t.TempDir(), func(in received) {
		events <- string(in.msg.Data)
		published <- in
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	for i := range n {
		b.add(ctx, &nats.Msg{Subject: "s", Reply: "r", Data: fmt.Appendf(nil, "%04d", i)})
		if i%7 == 0 {
			b.after(func() { events <- fmt.Sprintf("after %04d", i) })
		}
		if i%25 == 24 { // some are answered
			for range 10 {
				b.release(<-published)
			}
		}
	}
	for range n - n/25*10 {
		if held := admission.Held(); held > 10*size {
			t.Fatalf("%d bytes are held, of %d", held, 10*size)
		}
		b.release(<-published)
	}
	called := make(chan struct{})
	b.after(func() { close(called) })
	<-called
	for i := range n {
		want := []string{fmt.Sprintf("%04d", i)}
		if i%7 == 0 {
			want = append(want, fmt.Sprintf("after %04d", i))
		}
		for _, w := range want {
			if got := <-events; got != w {
				t.Fatalf("%q, want %q", got, w)
			}
		}
	}
	if held, open := admission.Held(), b.unanswered(); held != 0 || open != 0 || len(b.files.open) != 0 {
		t.Errorf("at the end %d bytes are held by %d messages, in %d files", held, open, len(b.files.open))
	}
	cancel()
	<-done
}

// TestInboxTakesTurns: a publisher that fills the memory delays those of other channels by a message.
func TestInboxTakesTurns(t *testing.T) {
	t.Parallel()
	published := make(chan received, 100)
	b := newInbox(eventlog.NewAdmission(1), t.TempDir(), func(in received) { published <- in }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 50 {
		b.add(ctx, &nats.Msg{Subject: "heavy", Data: fmt.Append(nil, i)})
	}
	for i := range 3 {
		b.add(ctx, &nats.Msg{Subject: "light", Data: fmt.Append(nil, i)})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	var order []string
	for range 8 {
		in := <-published
		order = append(order, in.msg.Subject+string(in.msg.Data))
		b.release(in)
	}
	if got, want := fmt.Sprint(order), "[heavy0 heavy1 light0 heavy2 light1 heavy3 light2 heavy4]"; got != want {
		t.Errorf("published %s, want %s", got, want)
	}
	cancel()
	<-done
}

// TestInboxStop: messages in files are discarded, and the calls behind them are made.
func TestInboxStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out []string
	b := newInbox(eventlog.NewAdmission(1), dir, func(in received) { out = append(out, string(in.msg.Data)) }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		b.add(ctx, &nats.Msg{Data: []byte("x")})
	}
	b.after(func() { out = append(out, "call") })
	b.add(ctx, &nats.Msg{Data: []byte("y")})
	cancel()
	b.run(ctx)
	if got := fmt.Sprint(out); got != "[x call]" {
		t.Errorf("published: %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestInboxWithoutSpace: a message that no file takes waits until memory does.
func TestInboxWithoutSpace(t *testing.T) {
	t.Parallel()
	published := make(chan received, 2)
	b := newInbox(eventlog.NewAdmission(1), filepath.Join(t.TempDir(), "missing"), func(in received) { published <- in }, slog.New(slog.DiscardHandler))
	b.add(t.Context(), &nats.Msg{Data: []byte("x")})
	added := make(chan struct{})
	go func() {
		defer close(added)
		b.add(t.Context(), &nats.Msg{Data: []byte("y")})
	}()
	for _, want := range []string{"x", "y"} {
		in := <-published
		if string(in.msg.Data) != want {
			t.Fatalf("%q, want %q", in.msg.Data, want)
		}
		b.release(in)
	}
	<-added
}
