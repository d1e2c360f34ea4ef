package stores

import "time"

const (
	// clockTolerance is how far the clock may lag behind the last message of a channel without a warning.
	clockTolerance = time.Minute
	// clockInterval is the shortest time between two such warnings.
	clockInterval = time.Hour
)

// warnOfClock warns that all messages of a channel get the same timestamp until the clock catches up.
func (s *Store) warnOfClock(r *row, now int64) {
	if !s.clockWarned.IsZero() && time.Since(s.clockWarned) < clockInterval {
		return
	}
	s.clockWarned = time.Now()
	s.log.Warn("the clock is behind the last message of a channel; new messages get the timestamp of that message until the clock catches up",
		"channel", r.channel.name, "clock", time.Unix(0, now).UTC(), "last_message", time.Unix(0, r.timestamp).UTC())
}
