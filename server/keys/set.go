package keys

import (
	"maps"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Set is some keys, by name and by the subjects whose current ones they are. It does not change. The nil Set has none.
type Set struct {
	ring    *Ring
	byName  map[string]tink.AEAD
	current map[string]string // names by subject
	epoch   uint64            // of the ring, before the keys were looked for
	until   time.Duration     // since the start of the ring
}

// Valid reports whether none of the keys can have been forgotten by an act that was answered before Valid was called. What a set decrypts
// may be shown only if it is valid afterwards.
func (s *Set) Valid() bool {
	if s == nil || len(s.byName) == 0 {
		return true
	}
	return time.Since(s.ring.start) < s.until && s.ring.since() == s.epoch
}

// Seal returns the payload with what was found in it encrypted. The set has the keys of all subjects.
func (s *Set) Seal(channel string, found *proto.Found) ([]byte, error) {
	n := 0
	payload, err := found.Seal(func(subject, path string, clear []byte) (proto.Sealed, error) {
		name := s.current[subject]
		aead := s.byName[name]
		if aead == nil {
			return proto.Sealed{}, ErrLocked
		}
		ciphertext, err := aead.Encrypt(clear, fieldData(channel, path, name))
		n++
		return proto.Sealed{Key: name, Ciphertext: ciphertext}, err
	})
	if err == nil {
		s.ring.sealed.Add(uint64(n))
	}
	return payload, err
}

// Open returns the payload with what was found in it decrypted, as far as the set has the keys. It reports whether all of it is.
func (s *Set) Open(channel string, found *proto.Found) (payload []byte, all bool) {
	all = true
	payload, opened := found.Open(func(path string, sealed proto.Sealed) ([]byte, bool) {
		if s == nil || s.byName[sealed.Key] == nil {
			all = false
			return nil, false
		}
		clear, err := s.byName[sealed.Key].Decrypt(sealed.Ciphertext, fieldData(channel, path, sealed.Key))
		if err != nil {
			all = false
			s.ring.undecipherable.Add(1)
			return nil, false
		}
		return clear, true
	})
	if s != nil {
		s.ring.opened.Add(uint64(opened))
	}
	return payload, all
}

// Has reports whether the set has the current keys of subjects.
func (s *Set) Has(subjects []string) bool {
	if s == nil {
		return false
	}
	for _, id := range subjects {
		if _, ok := s.current[id]; !ok {
			return false
		}
	}
	return true
}

// With returns the keys of both sets, by name.
func (s *Set) With(other *Set) *Set {
	both := s.ring.newSet(len(s.byName) + len(other.byName))
	maps.Copy(both.byName, s.byName)
	maps.Copy(both.byName, other.byName)
	both.epoch, both.until = min(s.epoch, other.epoch), min(s.until, other.until)
	return both
}
