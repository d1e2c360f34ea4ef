package stan

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// asks sends heartbeats to clients and awaits the answers. Nobody can guess where an answer is awaited: whoever could, would
// keep the ID of another client alive.
type asks struct {
	conn   *nats.Conn
	prefix string

	mu      sync.Mutex // guards waiting
	waiting map[string]chan *nats.Msg
}

func newAsks(conn *nats.Conn, clusterID string) *asks {
	return &asks{conn: conn, prefix: natsconn.OwnInboxes(clusterID) + "heartbeats.", waiting: make(map[string]chan *nats.Msg)}
}

// listen begins to receive answers.
func (a *asks) listen() (*nats.Subscription, error) {
	sub, err := a.conn.Subscribe(a.prefix+"*", a.answered)
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers to heartbeats: %w", err)
	}
	return sub, nil
}

func (a *asks) answered(msg *nats.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer := a.waiting[msg.Subject]; answer != nil {
		delete(a.waiting, msg.Subject)
		answer <- msg
	}
}

// ask sends an empty request and awaits the answer. It returns nats.ErrNoResponders if nobody listens to the inbox.
func (a *asks) ask(ctx context.Context, inbox string) error {
	reply, answer := a.prefix+rand.Text(), make(chan *nats.Msg, 1)
	a.mu.Lock()
	a.waiting[reply] = answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting, reply)
	}()
	if err := a.conn.PublishRequest(inbox, reply, nil); err != nil {
		return fmt.Errorf("ask %q: %w", inbox, err)
	}
	select {
	case msg := <-answer:
		if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
			return nats.ErrNoResponders
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noResponders is the status with which NATS answers a request that nobody listens to.
const noResponders = "503"
