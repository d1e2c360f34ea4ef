package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// The first byte of what is hashed or signed says what it is.
const (
	tagContent = 1
	tagLink    = 2
	tagHead    = 3
)

// SaltSize is the size of a salt in bytes.
const SaltSize = 16

// Hash is a hash of an event, or the digest of its content.
type Hash [sha256.Size]byte

// Salt makes the digest of a content say nothing about the content.
type Salt [SaltSize]byte

// Event is what of an event stays when its content is erased. A column that is NULL is empty, or 0.
type Event struct {
	Position                                  uint64 // among all events
	Channel                                   string
	Sequence                                  uint64 // in the channel
	Timestamp                                 int64  // ns since 1970
	EventID, Type, AggregateType, AggregateID string
	Version                                   uint64 // the column event_version
	Appender                                  uint64 // ID of who appended it
}

// Hasher hashes events without allocating memory. It is not safe for concurrent use.
type Hasher struct {
	sha    hash.Hash
	buffer []byte
	sum    Hash
}

// NewHasher returns a Hasher.
func NewHasher() *Hasher { return &Hasher{sha: sha256.New(), buffer: make([]byte, 0, 512)} }

// Digest returns the digest of the content of an event: of its column data, which has all the others that erasing it empties.
func (h *Hasher) Digest(salt *Salt, data []byte) Hash {
	b := append(h.buffer[:0], tagContent)
	return h.hash(append(b, salt[:]...), data)
}

// Next returns the hash of the event that follows the one with the hash before. The first event follows the zero Hash.
func (h *Hasher) Next(before *Hash, e *Event, digest *Hash) Hash {
	b := append(h.buffer[:0], tagLink)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Position)
	b = appendText(b, e.Channel)
	b = binary.BigEndian.AppendUint64(b, e.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Timestamp))
	b = appendText(b, e.EventID)
	b = appendText(b, e.Type)
	b = appendText(b, e.AggregateType)
	b = appendText(b, e.AggregateID)
	b = binary.BigEndian.AppendUint64(b, e.Version)
	b = binary.BigEndian.AppendUint64(b, e.Appender)
	return h.hash(append(b, digest[:]...), nil)
}

func (h *Hasher) hash(head, tail []byte) Hash {
	h.buffer = head
	h.sha.Reset()
	_, _ = h.sha.Write(head) // which never fails
	_, _ = h.sha.Write(tail)
	h.sha.Sum(h.sum[:0])
	return h.sum
}

func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
	return append(b, text...)
}
