package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// defaultURL is where the API of a server on this host is, as in the documentation.
const defaultURL = "http://127.0.0.1:4280"

// Environment variables that take the place of flags.
const (
	envURL       = "EVENTSTORE_URL" // several are separated by commas
	envToken     = "EVENTSTORE_TOKEN"
	envTokenFile = "EVENTSTORE_TOKEN_FILE"
	envCA        = "EVENTSTORE_CA"
	envCert      = "EVENTSTORE_CERT"
	envKey       = "EVENTSTORE_KEY"
	envContext   = "EVENTSTORE_CONTEXT"
	envMonitor   = "EVENTSTORE_MONITOR"
)

// target says where a server is, and how to call it. A profile holds one.
type target struct {
	URLs      []string `json:"urls,omitempty"`
	Token     string   `json:"token,omitempty"`
	TokenFile string   `json:"token_file,omitempty"`
	CA        string   `json:"ca,omitempty"`
	Cert      string   `json:"cert,omitempty"`
	Key       string   `json:"key,omitempty"`
	Monitor   string   `json:"monitor,omitempty"` // URL of the monitoring port
}

// connectionFlags are the flags that say where the events are: a server, or a database.
type connectionFlags struct {
	target
	context string
	wait    time.Duration
	timeout time.Duration
	offline offlineFlags
}

func (f *connectionFlags) register(flags *pflag.FlagSet) {
	f.registerTarget(flags)
	flags.StringVar(&f.context, "context", "", "profile with the connection: see eventstore context (EVENTSTORE_CONTEXT)")
	flags.DurationVar(&f.wait, "wait", 10*time.Second, "how long to look for the server that leads")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long a call may take that is not a stream")
	f.offline.register(flags)
}

// registerTarget registers the flags that a profile stores.
func (f *connectionFlags) registerTarget(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.URLs, "url", nil, "URL of the API; again for each further server (EVENTSTORE_URL; default "+defaultURL+")")
	flags.StringVar(&f.Token, "token", "", "token; other users of this host can see it: prefer --token-file (EVENTSTORE_TOKEN)")
	flags.StringVar(&f.TokenFile, "token-file", "", "file with the token (EVENTSTORE_TOKEN_FILE)")
	flags.StringVar(&f.CA, "ca", "", "file with the authorities that may have signed the server's certificate (EVENTSTORE_CA)")
	flags.StringVar(&f.Cert, "cert", "", "file with the client's certificate (EVENTSTORE_CERT)")
	flags.StringVar(&f.Key, "key", "", "file with its key (EVENTSTORE_KEY)")
	flags.StringVar(&f.Monitor, "monitor", "", "URL of the monitoring port, for top, doctor, routes and relays (EVENTSTORE_MONITOR)")
}

// complete takes what the flags leave open from the environment, and then from a profile.
func (f *connectionFlags) complete(cmd *cobra.Command, format string) error {
	if format != "table" && format != "json" {
		return usage("--output %q must be table or json", format)
	}
	if strings.HasPrefix(cmd.CommandPath(), "eventstore context") {
		return nil // its flags are those of a profile
	}
	flags := f.target
	set := func(value *string, variable string) { *value = cmp.Or(*value, os.Getenv(variable)) }
	if len(f.URLs) == 0 && os.Getenv(envURL) != "" {
		f.URLs = strings.Split(os.Getenv(envURL), ",")
	}
	if flags.Token == "" && flags.TokenFile == "" {
		set(&f.Token, envToken)
		if f.Token == "" {
			set(&f.TokenFile, envTokenFile)
		}
	}
	set(&f.CA, envCA)
	set(&f.Cert, envCert)
	set(&f.Key, envKey)
	set(&f.Monitor, envMonitor)
	if err := f.offline.complete(len(flags.URLs) > 0 || f.context != "", cmd.Name() == "copy"); err != nil {
		return err
	}
	set(&f.context, envContext)
	profiles, err := readProfiles()
	if err != nil {
		return err
	}
	name := f.context
	if name == "" && len(f.URLs) == 0 { // a URL that was given is not that of the current profile
		name = profiles.Current
	}
	if name != "" {
		p, there := profiles.Contexts[name]
		if !there {
			return notFound("there is no context %q: eventstore context ls shows all, eventstore context add %s makes it", name, name)
		}
		f.fill(p)
	}
	if len(f.URLs) == 0 {
		f.URLs = []string{defaultURL}
	}
	return f.validate()
}

// fill takes from a profile what is open.
func (f *connectionFlags) fill(p target) {
	if len(f.URLs) == 0 {
		f.URLs = p.URLs
	}
	if f.Token == "" && f.TokenFile == "" {
		f.Token, f.TokenFile = p.Token, p.TokenFile
	}
	f.CA = cmp.Or(f.CA, p.CA)
	if f.Cert == "" && f.Key == "" {
		f.Cert, f.Key = p.Cert, p.Key
	}
	f.Monitor = cmp.Or(f.Monitor, p.Monitor)
}

func (t *target) validate() error {
	for i, u := range t.URLs {
		parsed, err := url.Parse(strings.TrimSpace(u))
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return usage("URL %q is not one of an API: write one such as %s", withoutUser(u), defaultURL)
		}
		if parsed.User != nil {
			return usage("URL %q contains a password: the API has tokens, give one with --token-file", parsed.Redacted())
		}
		t.URLs[i] = strings.TrimRight(parsed.String(), "/")
	}
	if t.Monitor != "" {
		parsed, err := url.Parse(t.Monitor)
		switch {
		case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
			return usage("--monitor is not the URL of a monitoring port: write one such as http://127.0.0.1:8222")
		case parsed.User != nil:
			return usage("--monitor %q contains a password: the monitoring port takes the API's token, give it with --token-file", parsed.Redacted())
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return usage("--cert and --key need each other")
	}
	if t.Token != "" && t.TokenFile != "" {
		return usage("--token and --token-file exclude each other")
	}
	return nil
}

// withoutUser returns a text that is to be a URL without what may be a password: all before an @.
func withoutUser(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// client returns a client of the Go library.
func (t *target) client() (*eventstore.Client, error) {
	token, err := t.bearer()
	if err != nil {
		return nil, err
	}
	config, err := t.tls()
	if err != nil {
		return nil, err
	}
	return eventstore.New(eventstore.Options{URLs: t.URLs, Token: token, TLS: config})
}

// bearer returns the token.
func (t *target) bearer() (string, error) {
	if t.TokenFile == "" {
		return t.Token, nil
	}
	text, err := os.ReadFile(t.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if token == "" {
		return "", usage("--token-file %s is empty", t.TokenFile)
	}
	return strings.TrimSpace(token), nil
}

// tls returns the configuration of connections to https URLs.
func (t *target) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usage("--ca %s contains no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
