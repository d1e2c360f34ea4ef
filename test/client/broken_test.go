package client

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// breakOff returns the URL of a relay to the server. The relay's first connection stays open but falls silent after that
// many bytes of answers.
func breakOff(t *testing.T, url string, after int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				_ = conn.Close()
				continue
			}
			t.Cleanup(func() {
				_ = conn.Close()
				_ = server.Close()
			})
			go func() { _, _ = io.Copy(server, conn) }()
			go func() {
				if first {
					_, _ = io.CopyN(conn, server, after)
				} else {
					_, _ = io.Copy(conn, server)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// The client notices a server that falls silent in the middle of an answer, and repeats the call.
func TestAnswerBreaksOff(t *testing.T) {
	t.Parallel()
	const events = 800
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	batch := func(aggregate string) []eventstore.NewEvent {
		all := make([]eventstore.NewEvent, events)
		for i := range all {
			all[i] = eventstore.NewEvent{ID: aggregate + strconv.Itoa(i), Type: "Deposited", AggregateType: "Account", AggregateID: aggregate, Payload: []byte(`{"Cents":1}`)}
		}
		return all
	}
	if _, err := s.client().Append(patient(t), channel, batch("stored")); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context, *eventstore.Client) (int, error){
		"append": func(ctx context.Context, c *eventstore.Client) (int, error) {
			positions, err := c.Append(ctx, channel, batch("new"))
			return len(positions), err
		},
		"load": func(ctx context.Context, c *eventstore.Client) (int, error) {
			loaded, err := c.Load(ctx, channel, "Account", "stored", 0)
			return len(loaded), err
		},
		"replay": func(ctx context.Context, c *eventstore.Client) (int, error) {
			n := 0
			return events, c.Replay(ctx, channel, eventstore.FromBeginning(), eventstore.Filter{}, func(e *eventstore.Event) error {
				if n++; e.Sequence != uint64(n) {
					t.Errorf("replay: event %d has sequence %d", n, e.Sequence)
				}
				if n == events {
					return eventstore.ErrStop
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := eventstore.New(eventstore.Options{URLs: []string{breakOff(t, s.api(), 900)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			if n, err := call(patient(t), c); err != nil || n != events {
				t.Errorf("%d events, %v", n, err)
			}
		})
	}
}
