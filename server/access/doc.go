// Package access says who may do what. An access file names principals, what they show to be recognized (tokens, client
// certificates, users of NATS), and their rights on channels. Doors recognize a principal and ask it for a right; they hold
// the current policy in a Holder, which a reload replaces.
package access
