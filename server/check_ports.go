package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
)

// port is where a server listens.
type port struct {
	what, host string
	port       int
}

// ports returns the ports that a start opens, except those that the system chooses.
func ports(o *config.Options, monitoring monitor.Where) []port {
	n, all := o.NATS, []port{{"monitoring", monitoring.Host, max(monitoring.HTTP, monitoring.HTTPS)}}
	api := o.APIOptions()
	all = append(all, port{"API", api.Host, api.Port}, port{"profiling", n.Host, n.ProfPort})
	if o.NATSURL == "" {
		client := cmp.Or(n.Port, 4222)
		if n.DontListen {
			client = 0
		}
		all = append(all, port{"NATS", n.Host, client}, port{"cluster", n.Cluster.Host, n.Cluster.Port}, port{"gateway", n.Gateway.Host, n.Gateway.Port},
			port{"leafnodes", n.LeafNode.Host, n.LeafNode.Port}, port{"websocket", n.Websocket.Host, n.Websocket.Port}, port{"mqtt", n.MQTT.Host, n.MQTT.Port})
	}
	var wanted []port
	for _, p := range all {
		if p.port > 0 {
			wanted = append(wanted, p)
		}
	}
	return wanted
}

// checkPorts listens on each port for a moment. It returns what is in use, and as an error what no server could listen on.
func checkPorts(o *config.Options, monitoring monitor.Where) (busy []string, err error) {
	var errs []error
	own := make(map[int]string)
	for _, p := range ports(o, monitoring) {
		l, err := net.Listen("tcp", net.JoinHostPort(p.host, strconv.Itoa(p.port)))
		if err == nil {
			defer l.Close() //nolint:errcheck // nothing was written
		}
		switch other := own[p.port]; {
		case err == nil:
			own[p.port] = p.what
		case errors.Is(err, syscall.EADDRINUSE) && other != "":
			errs = append(errs, fmt.Errorf("port %d is that of %s and of %s: give one of them another", p.port, other, p.what))
		case errors.Is(err, syscall.EADDRINUSE):
			busy = append(busy, fmt.Sprintf("port %d of %s is in use, perhaps by a server that runs: a start needs it free", p.port, p.what))
		default:
			errs = append(errs, fmt.Errorf("port %d of %s: %w: listen on an address of this machine, and on a port that this user may open", p.port, p.what, err))
		}
	}
	return busy, errors.Join(errs...)
}
