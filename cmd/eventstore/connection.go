package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// connection says how to reach the servers.
type connection struct {
	urls                         []string
	tokenFile, ca, cert, certKey string
}

func (c *connection) register(flags *pflag.FlagSet) {
	var urls []string
	if text := os.Getenv("EVENTSTORE_URL"); text != "" {
		urls = strings.Split(text, ",")
	}
	flags.StringSliceVar(&c.urls, "url", urls, "API of the server, or of each server, such as http://127.0.0.1:50051 (EVENTSTORE_URL)")
	flags.StringVar(&c.tokenFile, "token-file", os.Getenv("EVENTSTORE_TOKEN_FILE"), "file with the token of the API (EVENTSTORE_TOKEN_FILE)")
	flags.StringVar(&c.ca, "ca", "", "file with the certificates of authorities that sign the servers' ones; default: the system's")
	flags.StringVar(&c.cert, "cert", "", "file with a client certificate, if the servers require one")
	flags.StringVar(&c.certKey, "cert-key", "", "file with the key of --cert")
}

func (c *connection) client() (*eventstore.Client, error) {
	if len(c.urls) == 0 {
		return nil, errors.New("name the API of the server with --url or EVENTSTORE_URL, such as http://127.0.0.1:50051")
	}
	options := eventstore.Options{URLs: c.urls}
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		options.Token = strings.TrimSpace(string(token))
	}
	if c.ca != "" || c.cert != "" {
		options.TLS = &tls.Config{}
	}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		options.TLS.RootCAs = x509.NewCertPool()
		if !options.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s has no certificate in PEM format", c.ca)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.certKey)
		if err != nil {
			return nil, fmt.Errorf("--cert and --cert-key: %w", err)
		}
		options.TLS.Certificates = []tls.Certificate{pair}
	}
	return eventstore.New(options)
}
