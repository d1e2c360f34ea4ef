// Package test looks at the product from outside: the built binary, official clients, real databases. Each of
// the promises of docs/architecture.md has a test named after it.
package test

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
