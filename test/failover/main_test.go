// Package failover runs the built server on databases of several machines, simulated on loopback, and removes machines
// under load.
package failover

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
