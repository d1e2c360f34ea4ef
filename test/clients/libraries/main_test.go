// Package libraries runs the client libraries of NATS Streaming against the server, with every store: node-nats-streaming and
// nats.c as they are published, and those of Python, Java, .NET and Ruby byte by byte as their sources say that they speak.
// docs/reference/compatibility.md lists them.
package libraries

import (
	"flag"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of these tests wait for ack timeouts and pings. One test per processor would leave the machine idle.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	harness.MainPlain(m)
}
