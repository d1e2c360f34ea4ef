// Package deploy starts servers as Compose and Kubernetes would: with the arguments, the environment and the files that
// deploy/compose.yaml and the Helm chart give them. tools/deploy loads and renders both into testdata.
package deploy

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
