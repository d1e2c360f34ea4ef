// Package tracing records OpenTelemetry spans of messages and sends them to a collector by OTLP.
//
// A trace begins with the publisher, who names it in the headers of a request or in the metadata of the event. The server
// adds the publish, the wait for a commit, the commit, each delivery and each relay. One commit holds the messages of many
// publishers, so it is a trace of its own, to which the span of each message links.
//
// Stored bytes never change, so the trace of the server is not stored. For a while, the Tracer remembers the spans of
// publishes by channel and sequence: a delivery follows the publish. Later, a delivery follows the metadata of its event.
//
// Without a collector there is no Tracer, and the packages that would call one have a nil to check. The decision is in
// docs/decisions/2026-11-26-traces.md.
package tracing
