package consumers

import (
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// try is the past of a message that was sent, and is sent again or waits to be. A message that a member holds for the first time has
// none.
type try struct {
	again     uint32 // redeliveries
	since     int64  // the first delivery, in s since 1970
	notBefore int64  // when it may be sent again, in s since 1970; 0: its holder's due time tells
}

// wall returns the time on the wall clock that is at on the clock of state.
func wall(at time.Duration) time.Time { return time.Now().Round(0).Add(at - now()) }

// onClock returns a time of the wall clock on the clock of state. The wall clock may be set, so it is asked again when the time has
// come.
func onClock(at time.Time) time.Duration {
	began := now()
	return began + min(time.Until(at.Round(0)), never-1-began)
}

// deliveries returns how often an unacknowledged message was sent.
func (s *state) deliveries(seq uint64) int {
	t, tried := s.tries[seq]
	switch {
	case tried:
		return int(t.again) + 1
	case s.unacked.holder(seq) == &s.waiting:
		return 0
	}
	return 1
}

// wait is how long the nth delivery waits for its acknowledgement by a member.
func (s *state) wait(m *Member, nth int) time.Duration {
	switch r := s.rules; {
	case r == nil:
	case len(r.backoff) > 0:
		return r.backoff[min(max(nth, 1), len(r.backoff))-1]
	case r.ackWait > 0:
		return r.ackWait
	}
	return m.ackWait()
}

// note records the past of a message that is held for the first time, before that ends.
func (s *state) note(seq uint64, sent time.Duration) try {
	t, tried := s.tries[seq]
	if !tried {
		t.since = wall(sent).Unix()
	}
	return t
}

func (s *state) setTry(seq uint64, t try) {
	if s.tries == nil {
		s.tries = make(map[uint64]try)
	}
	s.tries[seq] = t
	s.changed.try(seq)
}

func (s *state) dropTry(seq uint64) {
	if _, tried := s.tries[seq]; tried {
		delete(s.tries, seq)
		s.changed.try(seq)
	}
}

// recoverTries restores what is stored of messages that were sent again.
func (s *state) recoverTries(all []stores.RedeliveredRun) {
	for _, run := range all {
		for seq := run.First; seq <= run.Last; seq++ {
			if s.unacked.holder(seq) == nil {
				continue
			}
			if s.tries == nil {
				s.tries = make(map[uint64]try)
			}
			s.tries[seq] = try{again: run.Count, since: run.Since, notBefore: run.NotBefore}
		}
	}
}

// redelivered returns the runs of sequences, ascending, that were sent again.
func (s *state) redelivered(seqs []uint64) (runs []stores.RedeliveredRun) {
	for _, seq := range seqs {
		t, tried := s.tries[seq]
		if !tried {
			continue
		}
		run := stores.RedeliveredRun{First: seq, Last: seq, Count: t.again, Since: t.since, NotBefore: t.notBefore}
		if n := len(runs); n > 0 {
			last := runs[n-1]
			if last.First, last.Last = seq, last.Last+1; last == run {
				runs[n-1].Last = seq
				continue
			}
		}
		runs = append(runs, run)
	}
	return runs
}
