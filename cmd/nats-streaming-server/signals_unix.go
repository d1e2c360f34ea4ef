//go:build !windows

package main

import (
	"syscall"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// nameProcess says what -sl looks for: the name of the binary, as far as Linux keeps names of processes.
func nameProcess() { natsd.SetProcessName("nats-streaming-") }

// notifyControl sets the signals that control a running server.
func notifyControl(o *config.Options) {
	o.Reopen = notify(syscall.SIGUSR1)
	o.Reload = notify(syscall.SIGHUP)
}
