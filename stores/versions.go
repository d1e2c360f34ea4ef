package stores

import (
	"fmt"
	"math"
	"strings"
)

// Versions says which event_version an event may carry. An event without one always gets the next of its aggregate.
type Versions int

const (
	// VersionsStrict accepts only the next version of the aggregate. It is the zero value.
	VersionsStrict Versions = iota
	// VersionsUnique accepts any version that no event of the aggregate has yet.
	VersionsUnique
	// VersionsOff accepts any version. The column event_version counts the aggregate's events in the order of storage.
	// The payload keeps the publisher's version, and subscribers see that one.
	VersionsOff
)

var versionsNames = [...]string{VersionsStrict: "strict", VersionsUnique: "unique", VersionsOff: "off"}

// String returns the name that ParseVersions accepts.
func (v Versions) String() string { return versionsNames[v] }

// ParseVersions returns the Versions with a name: "strict", "unique" or "off".
func ParseVersions(name string) (Versions, error) {
	for v, n := range versionsNames {
		if n == name {
			return Versions(v), nil
		}
	}
	return 0, fmt.Errorf("versions %q: must be one of %s", name, strings.Join(versionsNames[:], ", "))
}

// maxVersion is the highest event_version that a database can hold.
const maxVersion = math.MaxInt64

// versionKey identifies an event by its place in its aggregate.
type versionKey struct {
	aggregate aggregate
	version   uint64
}

// version returns the version that an event gets on top of the plan, or a *VersionError. The error is final if it adds
// no questions.
func (p *plan) version(b *batch, a *Append, ask *questions) (uint64, error) {
	key := a.aggregate()
	head := p.head(b, key)
	given := a.Event.Version
	if given == 0 || a.Versions == VersionsOff {
		if head >= maxVersion {
			return 0, &VersionError{Aggregate: key.id, AggregateType: key.typ, Head: head}
		}
		return head + 1, nil
	}
	refused := &VersionError{Aggregate: key.id, AggregateType: key.typ, Head: head, Version: given}
	switch {
	case given == head+1, given > head && a.Versions == VersionsUnique:
		return given, nil
	case a.Versions == VersionsUnique:
		at := versionKey{key, given}
		taken, looked := p.versions[at], true
		if !taken {
			taken, looked = b.versions[at]
		}
		if !taken && looked {
			return given, nil
		}
		if !looked {
			ask.versions = append(ask.versions, at)
		}
		refused.Taken = true
	case given > head+1 && !b.fresh[key]:
		// Memory may be behind a write by plain SQL.
		b.fresh[key] = true
		ask.heads = append(ask.heads, key)
	}
	// It may be a stored event sent again.
	if a.Event.ID != "" {
		id := eventKey{a.Channel.id, a.Event.ID}
		if _, looked := b.known[id]; !looked {
			ask.events = append(ask.events, id)
		}
	}
	return 0, refused
}

// head returns the highest version of an aggregate on top of the plan.
func (p *plan) head(b *batch, key aggregate) uint64 {
	if head, ok := p.heads[key]; ok {
		return head
	}
	return b.heads[key]
}

// claimVersion uses the version of a planned event, and returns the highest version of its aggregate before.
func (p *plan) claimVersion(b *batch, a *Append, version uint64) uint64 {
	key := a.aggregate()
	before := p.head(b, key)
	p.heads[key] = max(version, before) // versions that must only be unique can be lower
	if a.Versions == VersionsUnique {
		p.versions[versionKey{key, version}] = true
	}
	return before
}
