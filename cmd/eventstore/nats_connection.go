package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"
)

// envToJetStream takes the place of --to-jetstream, and hides a password in the URL from other users of the host.
const envToJetStream = "EVENTSTORE_TO_JETSTREAM"

// natsFlags name a nats-server, and who connects.
type natsFlags struct {
	url, creds, nkey, user, passwordFile, ca, cert, key, domain string
}

func (f *natsFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "to-jetstream", "", "URL of a nats-server with JetStream, such as nats://127.0.0.1:4222; several are separated by commas (EVENTSTORE_TO_JETSTREAM)")
	flags.StringVar(&f.creds, "to-creds", "", "file with the credentials of the user of NATS")
	flags.StringVar(&f.nkey, "to-nkey", "", "file with the seed of the user's nkey")
	flags.StringVar(&f.user, "to-user", "", "name of the user")
	flags.StringVar(&f.passwordFile, "to-password-file", "", "file with the user's password or, without --to-user, the token")
	flags.StringVar(&f.ca, "to-ca", "", "file with the authorities that may have signed the certificate of the nats-server")
	flags.StringVar(&f.cert, "to-cert", "", "file with the user's certificate")
	flags.StringVar(&f.key, "to-key", "", "file with its key")
	flags.StringVar(&f.domain, "to-domain", "", "domain of JetStream")
}

// connect connects.
func (f *natsFlags) connect(t *tool) (*nats.Conn, error) {
	servers := cmp.Or(f.url, os.Getenv(envToJetStream))
	for one := range strings.SplitSeq(servers, ",") {
		parsed, err := url.Parse(strings.TrimSpace(one))
		if err != nil || parsed.Host == "" {
			return nil, usage("--to-jetstream %q is not the URL of a nats-server: write one such as nats://127.0.0.1:4222", withoutUser(one))
		}
		if _, secret := parsed.User.Password(); secret && f.url != "" {
			return nil, usage("--to-jetstream shows a password to other users of this host: use --to-password-file, --to-creds or the variable EVENTSTORE_TO_JETSTREAM")
		}
	}
	options := []nats.Option{
		nats.Name("eventstore copy"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(dialTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.note("NATS: %v", err) }),
	}
	if f.creds != "" {
		options = append(options, nats.UserCredentials(f.creds))
	}
	if f.nkey != "" {
		option, err := nats.NkeyOptionFromSeed(f.nkey)
		if err != nil {
			return nil, fmt.Errorf("--to-nkey: %w", err)
		}
		options = append(options, option)
	}
	password := ""
	if f.passwordFile != "" {
		text, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return nil, fmt.Errorf("--to-password-file: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	switch {
	case f.user != "":
		options = append(options, nats.UserInfo(f.user, password))
	case password != "":
		options = append(options, nats.Token(password))
	}
	if f.ca != "" {
		options = append(options, nats.RootCAs(f.ca))
	}
	if (f.cert == "") != (f.key == "") {
		return nil, usage("--to-cert and --to-key need each other")
	}
	if f.cert != "" {
		options = append(options, nats.ClientCert(f.cert, f.key))
	}
	conn, err := nats.Connect(servers, options...)
	if err != nil {
		return nil, &statusError{natsStatus(err), fmt.Sprintf("--to-jetstream: %v: %s", err, natsRemedy(err))}
	}
	return conn, nil
}

// natsStatus returns the exit status of an error of connecting, and natsRemedy what to do about it.
func natsStatus(err error) int {
	if isAuthorization(err) {
		return exitRefused
	}
	return exitUnreachable
}

func natsRemedy(err error) string {
	if isAuthorization(err) {
		return "give --to-creds, --to-nkey, or --to-user with --to-password-file"
	}
	return "start the nats-server, or give its URL; for TLS name the authority with --to-ca"
}

func isAuthorization(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}
