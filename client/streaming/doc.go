// Package streaming reads events through NATS Streaming for the Go library: Source delivers a channel to a Projector or a Reactor, Worker is a
// member of a queue group, and Replay reads a channel once. It is a module of its own, so that applications that call the API do
// not depend on stan.go.
package streaming
