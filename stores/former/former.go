// Package former describes the content of a store of NATS Streaming 0.25.6, whatever it was kept in: files, the tables of a SQL database,
// or the files and the log of a node of a Raft cluster.
package former

import (
	"context"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"
)

// The bounds of a batch that Channel.Read returns.
const (
	BatchMessages = 1000
	BatchBytes    = 4 << 20
)

// Store is the content of a store.
type Store struct {
	Info     *spb.ServerInfo
	Clients  []*spb.ClientInfo
	Channels []*Channel // by name
	// OnlyMessages means that the store cannot know clients and subscriptions.
	OnlyMessages bool
	// Release closes the files or connections.
	Release func() error
}

// Channel is a channel of a store.
type Channel struct {
	Name          string
	Subscriptions []Subscription // by ID
	First, Last   uint64         // sequences of the messages, 0 if there are none; Last may be one that is gone
	// Read returns messages from a sequence on, in order, within the bounds of a batch, and the sequence to continue with, which is higher.
	// There need not be any messages before that.
	Read func(ctx context.Context, from uint64) (messages []*pb.MsgProto, next uint64, err error)
}

// Subscription is a subscription with its progress.
type Subscription struct {
	State    *spb.SubState
	LastSent uint64   // highest sequence sent, as it was written with Unacked
	Unacked  []uint64 // sequences sent and not acknowledged, ascending
}

// Close closes the files or connections.
func (s *Store) Close() error { return s.Release() }

// Channel returns the channel with a name, or nil.
func (s *Store) Channel(name string) *Channel {
	for _, c := range s.Channels {
		if c.Name == name {
			return c
		}
	}
	return nil
}
