package main

import (
	"net"
	"os"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// notifyReady tells systemd that the service has started, if it is one of Type=notify (sd_notify(3)). Once more does no harm.
func notifyReady(config.Addresses) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("READY=1"))
	return err
}
