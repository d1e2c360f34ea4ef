package stores

import (
	"log/slog"
	"time"
)

// Numbering says how far Recover is with events that have no position or, if Chaining is set, no hash.
type Numbering struct {
	Done     uint64 // events that have got one
	Most     uint64 // events that need one, at most: messages that are not events count as well
	Took     time.Duration
	Finished bool
	Chaining bool
}

// Rate returns the events per second.
func (n Numbering) Rate() float64 { return float64(n.Done) / max(n.Took.Seconds(), 0.001) }

// Left returns the time that is left, at most.
func (n Numbering) Left() time.Duration {
	left := float64(n.Most-min(n.Done, n.Most)) / max(n.Rate(), 1)
	return time.Duration(left * float64(time.Second)).Round(time.Second)
}

func (n Numbering) log(log *slog.Logger) {
	switch {
	case n.Chaining && n.Finished:
		log.Info("chained events: each has a hash", "events", n.Done, "took", n.Took.Round(time.Millisecond), "per_second", int(n.Rate()))
		return
	case n.Chaining:
		log.Info("chaining events, so that each has a hash", "done", n.Done, "of_at_most", n.Most, "per_second", int(n.Rate()), "left_at_most", n.Left())
		return
	case n.Finished:
		log.Info("numbered events: each has a position", "events", n.Done, "took", n.Took.Round(time.Millisecond), "per_second", int(n.Rate()))
		return
	}
	log.Info("numbering events, so that each has a position", "done", n.Done, "of_at_most", n.Most, "per_second", int(n.Rate()), "left_at_most", n.Left())
}
