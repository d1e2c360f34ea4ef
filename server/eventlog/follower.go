package eventlog

import "github.com/nats-eventstore/nats-eventstore/stores"

// Follower reads a line forward: a channel by sequence, or a Wildcard by position. See reader.
type Follower interface {
	Ready() <-chan struct{}
	Next(max int) ([]stores.Message, error)
	Position() uint64
	// Passed returns the place up to which the line has nothing else, beyond what Next has returned; 0 if a channel is read,
	// whose places all have messages.
	Passed() uint64
	Release()
	Close()
}

// channelFollower is the cursor of a channel as a Follower.
type channelFollower struct{ *Cursor }

func (channelFollower) Passed() uint64 { return 0 }
