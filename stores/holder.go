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

// A lease ID says which process holds the lease, so that a server on the same host can prove that it is dead, and need not wait
// until the lease has stood still. It is a letter and, in base64, holderBytes: 8 of the host's hash, 4 of the process ID, 5 of
// the time when the process started, 4 at random.
const (
	holderPrefix = "p"
	holderBytes  = 8 + 4 + 5 + 4
	holderLength = len(holderPrefix) + (holderBytes*8+5)/6
)

// NewLeaseID returns an ID for TryLease, which is unique to the running server.
func NewLeaseID() string {
	b := make([]byte, holderBytes)
	if p, ok := self(); ok {
		p.put(b)
	}
	_, _ = rand.Read(b[17:]) // never fails
	return holderPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// process is a process of a host, for as long as the host runs.
type process struct {
	host    [8]byte // hash of all that gives a process ID and a start time their meaning
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

// holder returns the process that a lease ID names, which is the zero process if nothing can be known of it. ok is false if
// NewLeaseID did not make the ID.
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

// isDead says that the holder of a lease is a process of this host that has ended. Where that is not certain it is false.
func isDead(id string) bool {
	p, ok := holder(id)
	if !ok {
		return false
	}
	own, ok := self()
	return ok && p.host == own.host && p.ended()
}

// self is this process. ok is false where processes can not be told apart for certain.
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
