package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

// Paths of the console. Answers under ConsoleStreams last for as long as the browser likes.
const (
	ConsolePath    = "/console/"
	ConsoleStreams = "/console/live/"
)

// Options configure the API.
type Options struct {
	// Host and Port are where the API listens. An empty host means all addresses. Port 0 turns the API off; -1 picks a free port, which the log names.
	Host string
	Port int
	// Token, if set, is required in each request: Authorization: Bearer <token>.
	Token string
	// CertFile and KeyFile (PEM) turn on TLS. With ClientCAFile, clients need a certificate from that authority.
	CertFile     string
	KeyFile      string
	ClientCAFile string
	// Insecure allows the API to be reached from other machines without TLS or authentication, and without authentication
	// though NATS has it.
	Insecure bool
	// Limits bound the connections, and the calls that are open at a time.
	Limits httpport.Limits
	// Origins lists the web origins that may call from a browser, such as https://shop.example. "*" allows any (CORS,
	// the Fetch standard).
	Origins []string
	// DefaultChannel stores the events of the two other services, unless they name another event channel, and those of
	// umadb.v1.DCB.
	DefaultChannel string
	// DCB serves umadb.v1.DCB on the events of DefaultChannel.
	DCB bool
	// StandbyReads lets this server serve reads while it stands by.
	StandbyReads bool
	// MaxMessage bounds a request, and a response that is not a stream, in bytes.
	MaxMessage int
	// StopTimeout is how long a server that stops waits for its requests, and for clients to leave idle connections. 0 means 5 s.
	StopTimeout time.Duration
	// Console, if set, is called once and returns what serves the pages under ConsolePath. It asks callers who they are itself.
	Console func(Inside) http.Handler
	// Wrap, if set, receives the handler of all requests and returns the one to use. It serves fault injection.
	Wrap func(http.Handler) http.Handler
}

// DefaultOptions returns options that leave the API off.
func DefaultOptions() Options {
	return Options{DefaultChannel: DefaultChannel, MaxMessage: 4 << 20, Limits: httpport.Limits{Total: 4096, PerPeer: 1024}}
}

// TLS returns the TLS configuration, or nil if TLS is off. If there are other credentials than client certificates, they are
// optional.
func (o *Options) TLS(others bool) (*tls.Config, error) {
	if o.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("API certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if o.ClientCAFile != "" {
		pem, err := os.ReadFile(o.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("API client authority: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if others {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("API client authority: %s contains no certificate", o.ClientCAFile)
		}
	}
	return config, nil
}
