package eventlog

import "context"

// readable is a line of messages for cursors: a channel, or all events that match a query. A message's place is its sequence
// in a channel, or its position.
type readable[M any] interface {
	// gone returns why the line cannot be read any more, or nil.
	gone() error
	// first returns the lowest place that a reader may see; last that of the last commit.
	first() uint64
	last() uint64
	// recent returns messages from memory, or false if memory does not reach back to from; reaches tells that alone.
	recent(from, to uint64, max int) (page[M], bool)
	reaches(from uint64) bool
	// load reads messages from the database in its turn. A reader calls it for one page at a time.
	load(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) (page[M], error)
	// remaining drops messages that were removed since they were read. It modifies msgs.
	remaining(msgs []M) []M
	// Watch calls wake after commits.
	Watch(wake func()) (stop func())
}

// page is a part of a line.
type page[M any] struct {
	msgs    []M
	through uint64 // nothing else of the line is at or before this place
	plan    string // how it was read, for people; may be empty
}
