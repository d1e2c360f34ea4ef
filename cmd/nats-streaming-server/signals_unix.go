//go:build !windows

package main

import (
	"syscall"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// nameProcess sets the process name that -sl looks for. Linux truncates process names to 15 bytes.
func nameProcess() { natsd.SetProcessName("nats-streaming-") }

// notifyControl sets up the signals that control a running server.
func notifyControl(o *config.Options) {
	o.Reopen = notify(syscall.SIGUSR1)
	o.Reload = notify(syscall.SIGHUP)
}
