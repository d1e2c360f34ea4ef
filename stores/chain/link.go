package chain

// HashSize is the size of a hash in bytes.
const HashSize = len(Hash{})

// The sizes of a Link in bytes: of an event, and of one whose content was erased.
const (
	LinkSize       = SaltSize + HashSize
	ErasedLinkSize = 2 * HashSize
)

// Link is what the row of an event has of the chain: the salt of its content and its hash. Once its content is erased, the digest of the
// content is in place of the salt. nil: the event is not in the chain.
type Link []byte

// Valid reports whether the link has one of the two forms.
func (l Link) Valid() bool { return len(l) == LinkSize || len(l) == ErasedLinkSize }

// Erased reports whether the content was erased.
func (l Link) Erased() bool { return len(l) == ErasedLinkSize }

// Hash returns the hash of the event. The link is valid.
func (l Link) Hash() Hash { return Hash(l[len(l)-HashSize:]) }

// Digest returns the digest of the event's content, of which data has what is there. The link is valid.
func (l Link) Digest(h *Hasher, data []byte) Hash {
	if l.Erased() {
		return Hash(l[:HashSize])
	}
	return h.Digest((*Salt)(l), data)
}

// Erase returns the link of the event once its content, which is data now, is erased. A link that is not valid, or erased, stays.
func (l Link) Erase(h *Hasher, data []byte) Link {
	if len(l) != LinkSize {
		return l
	}
	digest := l.Digest(h, data)
	return append(digest[:], l[SaltSize:]...)
}
