package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Policy is the content of an access file. It does not change. A nil Policy knows nobody.
type Policy struct {
	principals   []*Principal
	tokens       map[[sha256.Size]byte]*Principal
	certificates map[string]*Principal // by identity
	users        map[string]*Principal
	places       map[string]string // where the file names each user
	warning      string
}

// Principals returns all principals in the order of the file.
func (p *Policy) Principals() []*Principal {
	if p == nil {
		return nil
	}
	return p.principals
}

// Monitors reports whether somebody has the right to monitor; then nobody else has it.
func (p *Policy) Monitors() bool {
	for _, it := range p.Principals() {
		if it.Monitor {
			return true
		}
	}
	return false
}

// NamesUsers reports whether some principal is a user of NATS; then others may not subscribe.
func (p *Policy) NamesUsers() bool { return p != nil && len(p.users) > 0 }

// Users returns the sorted names of the principals' users of NATS.
func (p *Policy) Users() []string {
	if p == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.users))
}

// PlaceOf returns the file and line that name a user of NATS.
func (p *Policy) PlaceOf(user string) string { return p.places[user] }

// Warning is a line for the log: who besides the server can read or change the file. It may be empty.
func (p *Policy) Warning() string {
	if p == nil {
		return ""
	}
	return p.warning
}

// ByToken returns the principal of an API token, or nil. How long it takes depends on the hash of the token alone, which says
// nothing about other tokens.
func (p *Policy) ByToken(token string) *Principal {
	if p == nil || token == "" {
		return nil
	}
	return p.tokens[sha256.Sum256([]byte(token))]
}

// ByCertificate returns the principal of a verified client certificate, or nil. A certificate whose names belong to several
// principals is nobody's.
func (p *Policy) ByCertificate(cert *x509.Certificate) *Principal {
	if p == nil || cert == nil {
		return nil
	}
	var found *Principal
	for _, id := range identitiesOf(cert) {
		switch it := p.certificates[id]; {
		case it == nil || it == found:
		case found != nil:
			return nil
		default:
			found = it
		}
	}
	return found
}

// ByUser returns the principal of a user of the embedded NATS server, or nil.
func (p *Policy) ByUser(name string) *Principal {
	if p == nil {
		return nil
	}
	return p.users[name]
}

// Holder holds the current policy; without an access file, that is nil. Its zero value is ready.
type Holder struct{ policy atomic.Pointer[Policy] }

// Policy returns the current policy.
func (h *Holder) Policy() *Policy { return h.policy.Load() }

// Set replaces the policy.
func (h *Holder) Set(p *Policy) { h.policy.Store(p) }

// hashPrefix begins the hash of a token in the access file.
const hashPrefix = "sha256:"

// NewToken returns a random token of 256 bits and its hash as the access file has it.
func NewToken() (token, hash string) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	token = base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	return token, hashPrefix + hex.EncodeToString(sum[:])
}

// parseHash reads the hash of a token. The value may be the token itself, so no error shows it.
func parseHash(s string) (hash [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	decoded, decodeErr := hex.DecodeString(digits)
	if !ok || decodeErr != nil || len(decoded) != len(hash) {
		return hash, errors.New("a token is written as its hash, sha256: and 64 hexadecimal digits: nats-streaming-server token prints a new token and its hash")
	}
	return [sha256.Size]byte(decoded), nil
}
