package httpport

import (
	"net/netip"
	"sync"
)

// Limits bound what one peer takes of a port, and what all peers take together.
type Limits struct {
	Total   int
	PerPeer int
}

// Peers counts what each peer holds: connections or calls. A peer is a host; with IPv6, a /64 network, since its owner
// has all of its addresses.
type Peers struct {
	mu     sync.Mutex // guards the fields below
	limits Limits
	total  int
	held   map[netip.Prefix]int
}

// NewPeers returns a count of nothing.
func NewPeers(l Limits) *Peers { return &Peers{limits: l, held: make(map[netip.Prefix]int)} }

// SetLimits changes the limits. What exceeds them stays until it ends.
func (p *Peers) SetLimits(l Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
}

// Limits returns the limits in effect.
func (p *Peers) Limits() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

// Add counts one more of a remote address, as net.Conn and http.Request have it, unless that exceeds a limit. Each Add
// that succeeds is followed by a Remove.
func (p *Peers) Add(address string) bool { return p.add(PeerOf(address)) == fits }

// Remove counts one less.
func (p *Peers) Remove(address string) { p.remove(PeerOf(address)) }

type verdict int

const (
	fits verdict = iota
	peerFull
	full
)

func (p *Peers) add(peer netip.Prefix) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.held[peer] >= p.limits.PerPeer:
		return peerFull
	case p.total >= p.limits.Total:
		return full
	}
	p.held[peer]++
	p.total++
	return fits
}

func (p *Peers) remove(peer netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.held[peer]--; p.held[peer] <= 0 {
		delete(p.held, peer)
	}
}

// PeerOf returns the peer of a remote address. Addresses that are not IP share one peer.
func PeerOf(address string) netip.Prefix {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	peer, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // unreachable: bits fit the address
	}
	return peer
}
