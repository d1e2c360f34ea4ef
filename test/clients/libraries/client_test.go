package libraries

import (
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// library is a client library of NATS Streaming.
type library struct {
	name string
	// connect connects a client. An error is the library's, and contains what the server said.
	connect connector
	// pings says that the library pings the server and tells the application when its registration is gone.
	pings bool
}

// connector connects a client with an ID.
type connector func(t *testing.T, to address, id string) (client, error)

// address is that of NATS. A ca is the file of the authority of its certificate, if NATS speaks TLS.
type address struct{ url, ca string }

// client is a connected client, whatever library it uses.
type client interface {
	// publish returns when the message is acknowledged, with the error in the acknowledgement.
	publish(channel, data string) error
	subscribe(channel string, o options) (subscription, error)
	// back receives a value when the client is connected to NATS again after it lost the connection.
	back() <-chan struct{}
	// lost receives the reason when the server no longer knows the client.
	lost() <-chan string
	close() error
	// vanish ends the client without a word, as a crash does.
	vanish()
}

// subscription is one in which the application acknowledges each message.
type subscription interface {
	messages() <-chan message
	ack(sequence uint64) error
	close() error
	unsubscribe() error
}

// message is a delivered message.
type message struct {
	sequence    uint64
	redelivered bool
	data        string
}

// options are those of a subscription.
type options struct {
	group, durable string
	start          start
	from           int // sequence, or seconds
	ackWait        int // in seconds; 0 means a minute
	maxInFlight    int // 0 means 100
}

// start is the name of a start position.
type start string

const (
	startNew      start = "new"
	startFirst    start = "first"
	startLast     start = "last"
	startSequence start = "sequence" // from options.from
	startAgo      start = "ago"      // options.from seconds ago
)

func (o options) filled() options {
	if o.start == "" {
		o.start = startNew
	}
	if o.ackWait == 0 {
		o.ackWait = 60
	}
	if o.maxInFlight == 0 {
		o.maxInFlight = 100
	}
	return o
}

// next waits for a message.
func next(t *testing.T, sub subscription) message {
	t.Helper()
	select {
	case m := <-sub.messages():
		return m
	case <-time.After(harness.Patience):
		t.Fatal("no message arrived")
		return message{}
	}
}
