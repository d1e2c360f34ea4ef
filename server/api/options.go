package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Options say how the API is served.
type Options struct {
	// Host and Port are where it listens. Port 0: it is not served. -1: on a free port, which the log names.
	Host string
	Port int
	// Token, if not empty, is what requests must carry: Authorization: Bearer <token>.
	Token string
	// CertFile and KeyFile, PEM, make all connections TLS. With ClientCAFile, clients need a certificate of that authority.
	CertFile     string
	KeyFile      string
	ClientCAFile string
	// Origins are those of web pages whose scripts may call, such as https://shop.example; "*": any (CORS, the Fetch standard).
	Origins []string
	// DefaultChannel stores the events of the two other services that name no channel.
	DefaultChannel string
	// MaxMessage bounds a request, and an answer that is not a stream, in bytes.
	MaxMessage int
}

// DefaultOptions returns the options of an API that is not served.
func DefaultOptions() Options {
	return Options{DefaultChannel: DefaultChannel, MaxMessage: 4 << 20}
}

// Validate says what is wrong with the options, naming the setting.
func (o *Options) Validate() error {
	switch {
	case o.Port < -1 || o.Port > 65535:
		return fmt.Errorf("grpc_port %d is no port", o.Port)
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("grpc_cert and grpc_key need each other")
	case o.ClientCAFile != "" && o.CertFile == "":
		return errors.New("grpc_client_ca needs grpc_cert and grpc_key")
	case o.MaxMessage <= 0:
		return errors.New("grpc_max_message must be positive")
	}
	for _, origin := range o.Origins {
		if !validOrigin(origin) {
			return fmt.Errorf("grpc_origins: %q is no origin, such as https://shop.example:8443, nor *", origin)
		}
	}
	return nil
}

// validOrigin says whether a browser may send s as the origin of a page, or it stands for any.
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	return s == "*" || err == nil && s == u.Scheme+"://"+u.Host && u.Hostname() != "" && !strings.Contains(s, "*")
}

// tls returns the configuration of TLS, nil without.
func (o *Options) tls() (*tls.Config, error) {
	if o.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate of the API: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	if o.ClientCAFile != "" {
		pem, err := os.ReadFile(o.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("authority of the API's clients: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority of the API's clients: %s holds no certificate", o.ClientCAFile)
		}
	}
	return config, nil
}
