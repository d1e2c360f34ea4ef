package eventstore

import "fmt"

// GapError is the ErrGap of a reader that has handled events that the log does not have: the server's database is older than what was
// read from it, because it was restored from a backup, or failed over to a replica that lagged. Only the server that leads can tell. Do
// what docs/operate/restore.md says: the reader would skip events, or see other events in the places of those that it handled.
type GapError struct {
	Source     string // what was read
	Checkpoint uint64 // sequence, or position with SourceAll, up to which the reader handled everything
	End        uint64 // the log's last sequence or position
	// Replaced means that the log reaches the checkpoint, but the last event that the reader handled is not there any more. Channel and
	// Sequence tell where it was.
	Replaced bool
	Channel  string
	Sequence uint64
}

func (e *GapError) Error() string {
	if e.Replaced {
		return fmt.Sprintf("%s: the checkpoint of %s is %d and the log ends at %d, but the event handled as sequence %d of channel %q is not there any more: was the server's database restored? rebuild this reader, as docs/operate/restore.md says",
			ErrGap, e.Source, e.Checkpoint, e.End, e.Sequence, e.Channel)
	}
	return fmt.Sprintf("%s: the checkpoint of %s is %d, but the log ends at %d: was the server's database restored? rebuild this reader, as docs/operate/restore.md says",
		ErrGap, e.Source, e.Checkpoint, e.End)
}

// Unwrap returns ErrGap.
func (e *GapError) Unwrap() error { return ErrGap }
