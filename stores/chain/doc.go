// Package chain makes a log of events tamper-evident: each event has a hash over its content and the hash before it, and heads of the
// chain can be signed. Whoever keeps a head elsewhere can prove later that nothing before it has changed.
//
// The content enters by a salted digest, so that an event that is erased for legal reasons still verifies: its digest stays, its content
// and its salt go. Without the salt nobody can find out by trying what the content was.
//
// docs/reference/chain.md specifies the format, so that others can write a checker. It never changes: another one gets other tags.
package chain
