package main

import "github.com/nats-eventstore/nats-eventstore/server/config"

// nameProcess does nothing: services have names of their own.
func nameProcess() {}

// notifyControl does nothing: Windows has no signals that control a server.
func notifyControl(*config.Options) {}
