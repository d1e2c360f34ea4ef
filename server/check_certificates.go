package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// expired returns an error for each certificate that clients refuse today. A server starts with such a certificate, with a warning.
func expired(o *config.Options) error {
	var errs []error
	note := func(what string, c *tls.Config) {
		if c == nil {
			return
		}
		for _, chain := range c.Certificates {
			leaf := chain.Leaf
			if leaf == nil && len(chain.Certificate) > 0 {
				leaf, _ = x509.ParseCertificate(chain.Certificate[0]) // it was parsed when it was loaded
			}
			switch now := time.Now(); {
			case leaf == nil:
			case now.After(leaf.NotAfter):
				errs = append(errs, fmt.Errorf("the certificate of %s (%s) expired on %s: renew it", what, leaf.Subject, leaf.NotAfter.Format(time.DateOnly)))
			case now.Before(leaf.NotBefore):
				errs = append(errs, fmt.Errorf("the certificate of %s (%s) is not valid before %s: check the clock, or wait", what, leaf.Subject, leaf.NotBefore.Format(time.DateOnly)))
			}
		}
	}
	n := o.NATS
	note("NATS", n.TLSConfig)
	note("the NATS cluster", n.Cluster.TLSConfig)
	note("the NATS gateway", n.Gateway.TLSConfig)
	note("leafnodes", n.LeafNode.TLSConfig)
	note("websocket", n.Websocket.TLSConfig)
	note("mqtt", n.MQTT.TLSConfig)
	if c, err := o.APITLS(); err == nil {
		note("the API", c)
	}
	return errors.Join(errs...)
}
