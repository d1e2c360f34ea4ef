package natsconn

import (
	"crypto/tls"
	"slices"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

// RestrictSuites leaves only the suites of package httpport on the ports of the embedded server for which the operator
// chose none. NATS' own default includes CBC.
func RestrictSuites(o *natsd.Options) {
	var all []uint16
	for _, s := range tls.CipherSuites() {
		all = append(all, s.ID)
	}
	for _, c := range []*tls.Config{
		o.TLSConfig, o.Cluster.TLSConfig, o.Gateway.TLSConfig, o.LeafNode.TLSConfig, o.Websocket.TLSConfig, o.MQTT.TLSConfig,
	} {
		if c != nil && slices.Equal(c.CipherSuites, all) {
			c.CipherSuites = httpport.Suites()
		}
	}
}
