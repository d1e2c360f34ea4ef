package consumers

import "slices"

// lanes keep the messages of a key with one member at a time, and in order: only the first message of a lane, the active one, is
// with a member or due to be. The others wait behind it.
type lanes struct {
	byKey map[string]*lane
	keys  map[uint64]string // of unacknowledged messages; empty for one without a key
	// unknown are unacknowledged messages whose keys are not known yet: recovered ones, and replayed ones.
	unknown map[uint64]struct{}
}

type lane struct {
	active uint64   // 0: none
	behind []uint64 // ascending
}

func newLanes() *lanes {
	return &lanes{byKey: make(map[string]*lane), keys: make(map[uint64]string), unknown: make(map[uint64]struct{})}
}

// enter adds a message. It reports whether the message is active, as one without a key always is.
func (l *lanes) enter(key string, seq uint64) bool {
	delete(l.unknown, seq)
	l.keys[seq] = key
	if key == "" {
		return true
	}
	own := l.byKey[key]
	if own == nil {
		own = &lane{}
		l.byKey[key] = own
	}
	if own.active == 0 {
		own.active = seq
		return true
	}
	at, _ := slices.BinarySearch(own.behind, seq)
	own.behind = slices.Insert(own.behind, at, seq)
	return false
}

// leave removes a message. It returns the one that becomes active, or 0.
func (l *lanes) leave(seq uint64) (next uint64) {
	key := l.keys[seq]
	delete(l.keys, seq)
	delete(l.unknown, seq)
	own := l.byKey[key]
	if own == nil {
		return 0
	}
	if own.active != seq {
		if at, found := slices.BinarySearch(own.behind, seq); found {
			own.behind = slices.Delete(own.behind, at, at+1)
		}
		return 0
	}
	if len(own.behind) == 0 {
		delete(l.byKey, key)
		return 0
	}
	own.active, own.behind = own.behind[0], own.behind[1:]
	return own.active
}

// after returns the later messages of a key that are not active, ascending.
func (l *lanes) after(key string, seq uint64) []uint64 {
	own := l.byKey[key]
	if own == nil {
		return nil
	}
	at, found := slices.BinarySearch(own.behind, seq)
	if found {
		at++
	}
	return slices.Clone(own.behind[at:])
}
