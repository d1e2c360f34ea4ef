package httpport

import (
	"crypto/tls"
	"strings"
)

// Suites are the cipher suites of TLS 1.2 that encrypt and authenticate at once (AEAD) with keys of one connection
// (ECDHE). TLS 1.3, which clients get if they can, has no others.
func Suites() []uint16 {
	var suites []uint16
	for _, s := range tls.CipherSuites() {
		if strings.HasPrefix(s.Name, "TLS_ECDHE_") && !strings.Contains(s.Name, "_CBC_") {
			suites = append(suites, s.ID)
		}
	}
	return suites
}

// secure returns the configuration of a port: at least TLS 1.2, with Suites unless others were chosen.
func secure(c *tls.Config, protocols []string) *tls.Config {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = protocols
	if c.CipherSuites == nil {
		c.CipherSuites = Suites()
	}
	if current := c.GetConfigForClient; current != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := current(hello)
			if c == nil || err != nil {
				return nil, err
			}
			c = c.Clone()
			c.GetConfigForClient = nil
			return secure(c, protocols), nil
		}
	}
	return c
}
