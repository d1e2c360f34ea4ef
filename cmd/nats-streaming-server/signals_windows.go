package main

import "github.com/nats-eventstore/nats-eventstore/server/config"

// nameProcess does nothing: Windows services have their own names.
func nameProcess() {}

// notifyControl does nothing: Windows has no signals that control a server.
func notifyControl(*config.Options) {}
