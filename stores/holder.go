package stores

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"os"
	"sync"
)

// A lease ID names the process that holds the lease. A server on the same host can then prove that it is dead, and need
// not wait until the lease has stood still.
//
// An ID is a letter and, in base64, holderBytes: 8 bytes of the host's hash, 4 of the process ID, 5 of the process's
// start time, and 4 random ones.
const (
	holderPrefix = "p"
	holderBytes  = 8 + 4 + 5 + 4
	holderLength = len(holderPrefix) + (holderBytes*8+5)/6
)

// NewLeaseID returns an ID for TryLease that is unique to the running server.
func NewLeaseID() string {
	b := make([]byte, holderBytes)
	if p, ok := self(); ok {
		p.put(b)
	}
	_, _ = rand.Read(b[17:]) // never fails
	return holderPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// process identifies a process of a host until the host restarts.
type process struct {
	host    [8]byte // hash of everything that a process ID and a start time are relative to
	pid     uint32
	started uint64 // clock ticks since the host started
}

func (p process) put(b []byte) {
	copy(b, p.host[:])
	binary.BigEndian.PutUint32(b[8:], p.pid)
	var started [8]byte
	binary.BigEndian.PutUint64(started[:], p.started)
	copy(b[12:17], started[3:])
}

// holder returns the process that a lease ID names, or the zero process if it is unknown. ok is false if NewLeaseID did
// not make the ID.
func holder(id string) (p process, ok bool) {
	if len(id) != holderLength || id[:1] != holderPrefix {
		return process{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(id[1:])
	if err != nil {
		return process{}, false
	}
	copy(p.host[:], b)
	p.pid = binary.BigEndian.Uint32(b[8:])
	var started [8]byte
	copy(started[3:], b[12:17])
	p.started = binary.BigEndian.Uint64(started[:])
	return p, true
}

// isDead reports whether the holder of a lease is certainly dead: a process of this host that has ended.
func isDead(id string) bool {
	p, ok := holder(id)
	if !ok {
		return false
	}
	own, ok := self()
	return ok && p.host == own.host && p.ended()
}

// self is this process. ok is false if the platform cannot identify processes with certainty.
var self = sync.OnceValues(func() (p process, ok bool) {
	names, ok := hostNames()
	if !ok {
		return process{}, false
	}
	sum := sha256.Sum256(bytes.Join(names, []byte{0}))
	copy(p.host[:], sum[:])
	p.pid = uint32(os.Getpid())
	p.started, ok = startOf(os.Getpid())
	return p, ok
})
