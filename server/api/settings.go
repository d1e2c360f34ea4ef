package api

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/nats-eventstore/nats-eventstore/server/access"
)

// settings are what a reload replaces. They do not change.
type settings struct {
	Options
	policy  *access.Policy // nil without an access file
	tls     *tls.Config    // nil without TLS
	handler http.Handler
}

// newSettings reads the files that the options name.
func (s *Server) newSettings(o Options, policy *access.Policy) (*settings, error) {
	config, err := o.TLS(policy != nil)
	if err != nil {
		return nil, err
	}
	return &settings{o, policy, config, s.handler(o)}, nil
}

// errTLS refuses a reload that the connections of the port could not follow.
var errTLS = errors.New("grpc_cert and grpc_key: TLS is turned on and off at the start only")

// Reload prepares other options and another policy; new requests follow them once apply is called, and requests that are
// running as far as rights are concerned. Host and Port stay as they are. New connections get the new certificate.
func (s *Server) Reload(o Options, policy *access.Policy) (apply func(), err error) {
	next, err := s.newSettings(o, policy)
	if err != nil {
		return nil, err
	}
	if (next.tls == nil) != (s.settings.Load().tls == nil) {
		return nil, errTLS
	}
	return func() {
		s.port.SetLimits(o.Limits)
		s.calls.SetLimits(o.Limits)
		s.settings.Store(next)
	}, nil
}
