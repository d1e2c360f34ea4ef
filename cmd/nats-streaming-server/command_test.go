package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
)

// An error about an unknown command names all commands.
func TestCommands(t *testing.T) {
	t.Parallel()
	if names := slices.Sorted(maps.Keys(commands)); !slices.Equal(names, settings.Commands) {
		t.Errorf("the commands are %v, settings.Commands is %v", names, settings.Commands)
	}
}
