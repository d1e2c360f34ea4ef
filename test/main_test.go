// Package test tests the product from outside, with the built binary, official clients and real databases. Each promise
// of docs/reference/architecture.md has a test named after it.
package test

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
