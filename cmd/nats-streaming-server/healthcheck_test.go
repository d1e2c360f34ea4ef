package main

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
)

// A server on external NATS without a monitoring port has no port to ask. In its container it is not unhealthy for that.
func TestHealthOnExternalNATS(t *testing.T) {
	t.Parallel()
	o, err := settings.Load([]string{"-ns", "nats://127.0.0.1:1", "-store", "MEMORY"})
	if err != nil {
		t.Fatal(err)
	}
	if healthy, err := checkHealth(t.Context(), &o, "/healthz", true); err != nil || !strings.Contains(healthy, "-m PORT") {
		t.Errorf("in its container: %q, %v", healthy, err)
	}
	if healthy, err := checkHealth(t.Context(), &o, "/healthz", false); err == nil || !strings.Contains(err.Error(), "start it with -m PORT") {
		t.Errorf("elsewhere: %q, %v", healthy, err)
	}
}
