// Package refusal has the texts with which the server refuses requests of NATS Streaming's clients, and reads them. The protocol
// has no codes, so that clients get nothing but a text.
package refusal
