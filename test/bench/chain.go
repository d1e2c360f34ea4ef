package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// A chain makes the column chain of events, one after the other: docs/reference/chain.md has its format.
type chain struct {
	last [sha256.Size]byte // the hash of the event before
	hash hash.Hash
}

const saltBytes = 16

// chained is what of an event is in its hash.
type chained struct {
	position, sequence, timestamp, version     int64
	channel, id, typ, aggregateType, aggregate string
	data                                       []byte
}

// next returns the column of the next event.
func (c *chain) next(e chained) []byte {
	if c.hash == nil {
		c.hash = sha256.New()
	}
	link := make([]byte, saltBytes, saltBytes+sha256.Size)
	_, _ = rand.Read(link) // which never fails
	c.hash.Reset()
	c.hash.Write([]byte{1})
	c.hash.Write(link)
	c.hash.Write(e.data)
	digest := c.hash.Sum(nil)
	number := func(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }
	text := func(b []byte, s string) []byte { return append(number(b, int64(len(s))), s...) }
	b := append([]byte{2}, c.last[:]...)
	b = number(b, e.position)
	b = text(b, e.channel)
	b = number(b, e.sequence)
	b = number(b, e.timestamp)
	for _, s := range []string{e.id, e.typ, e.aggregateType, e.aggregate} {
		b = text(b, s)
	}
	b = number(b, e.version)
	b = number(b, 0) // appender
	b = append(b, digest...)
	c.hash.Reset()
	c.hash.Write(b)
	c.hash.Sum(c.last[:0])
	return append(link, c.last[:]...)
}
