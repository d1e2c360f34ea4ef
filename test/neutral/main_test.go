package main

import (
	"os"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

func TestMain(m *testing.M) {
	if os.Getenv(natsVariable) != "" {
		end(serveNATS())
		return
	}
	databases.Main(m)
}
