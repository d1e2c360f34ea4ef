package natsconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Login is how the server's own connections log in to NATS.
//
// External servers see the connections as any other client. The embedded server accepts the server's own connections,
// which are in process, without any setting: with a generated key that has all permissions in the account of the
// streaming clients. Two cases need a setting. If the embedded server trusts operators, only they can admit a user: set
// CredentialsFile. If several accounts have users, set Account.
type Login struct {
	User     string
	Password string
	Token    string
	// CredentialsFile holds a user JWT and its key seed; NKeySeedFile holds only a seed.
	CredentialsFile string
	NKeySeedFile    string
	// Account is the account of streaming clients on the embedded server. The default is the account of no_auth_user,
	// else the global account if it has users, else the only account that has users.
	Account string
	// TLS applies to external servers. In-process connections need none.
	TLS LoginTLS

	// own is the key that the embedded server accepts, nil if unused.
	own nkeys.KeyPair
}

// LoginTLS configures TLS for the server's own connections. Certificates and keys are PEM files.
type LoginTLS struct {
	Required   bool   // even if the NATS server does not require it
	CertFile   string // client certificate
	KeyFile    string
	CAFile     string // authority of the server certificate; "": the system's authorities
	ServerName string // name in the server certificate; "": the host of the URL
	SkipVerify bool   // accept any certificate
}

// explicit reports whether the settings name a user.
func (l *Login) explicit() bool {
	return l.User != "" || l.Token != "" || l.CredentialsFile != "" || l.NKeySeedFile != ""
}

// Admit lets the server's own connections log in to the embedded server, which is about to start or to reload its
// options.
func (l *Login) Admit(o *natsd.Options) error {
	// The nonce lets the same key log in before and after a reload that adds the first user.
	o.AlwaysEnableNonce = true
	switch {
	case l.explicit():
		return nil
	case len(o.TrustedOperators) > 0 || len(o.TrustedKeys) > 0:
		return errors.New("the NATS server trusts operators: set `credentials` in the streaming block to the credentials file of a user in the streaming clients' account")
	}
	if l.own == nil {
		key, err := nkeys.CreateUser()
		if err != nil {
			return fmt.Errorf("generate NATS key: %w", err)
		}
		l.own = key
	}
	if len(o.Users) == 0 && len(o.Nkeys) == 0 && o.Username == "" && o.Authorization == "" {
		return nil // NATS accepts every client
	}
	account, err := l.account(o)
	if err != nil {
		return err
	}
	public, err := l.own.PublicKey()
	if err != nil {
		return fmt.Errorf("NATS key: %w", err)
	}
	o.Nkeys = append(o.Nkeys, &natsd.NkeyUser{Nkey: public, Account: account})
	if o.AuthCallout != nil {
		o.AuthCallout.AuthUsers = append(o.AuthCallout.AuthUsers, public)
	}
	return nil
}

// account returns the account of streaming clients; nil means the global account.
func (l *Login) account(o *natsd.Options) (*natsd.Account, error) {
	system := o.SystemAccount
	if system == "" {
		system = natsd.DEFAULT_SYSTEM_ACCOUNT
	}
	users := make(map[string]*natsd.Account) // accounts that have users
	global := o.Username != "" || o.Authorization != ""
	note := func(name string, a *natsd.Account) *natsd.Account {
		switch {
		case a == nil || a.GetName() == natsd.DEFAULT_GLOBAL_ACCOUNT:
			global = true
		case a.GetName() != system:
			users[a.GetName()] = a
		}
		return a
	}
	for _, u := range o.Users {
		if a := note(u.Username, u.Account); l.Account == "" && u.Username == o.NoAuthUser {
			return a, nil
		}
	}
	for _, u := range o.Nkeys {
		if a := note(u.Nkey, u.Account); l.Account == "" && u.Nkey == o.NoAuthUser {
			return a, nil
		}
	}
	switch {
	case l.Account == natsd.DEFAULT_GLOBAL_ACCOUNT:
		return nil, nil
	case l.Account != "":
		for _, a := range o.Accounts {
			if a.GetName() == l.Account {
				return a, nil
			}
		}
		return nil, fmt.Errorf("streaming account %q is not configured", l.Account)
	case global || len(users) == 0:
		return nil, nil
	case len(users) > 1:
		return nil, fmt.Errorf("several accounts have users (%s): set `account` in the streaming block to that of streaming clients",
			strings.Join(slices.Sorted(maps.Keys(users)), ", "))
	}
	for _, a := range users {
		return a, nil
	}
	return nil, nil // unreachable
}

// options returns the login options of a connection. embedded means that the connection is in process.
func (l *Login) options(o *natsd.Options, embedded bool) ([]nats.Option, error) {
	var opts []nats.Option
	if embedded && l.own != nil {
		public, err := l.own.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("NATS key: %w", err)
		}
		return append(opts, nats.Nkey(public, l.own.Sign)), nil
	}
	// Flags override the streaming block.
	user, password, token := l.User, l.Password, l.Token
	if !embedded && o.Username != "" {
		user, password = o.Username, o.Password
	}
	if !embedded && o.Authorization != "" {
		token = o.Authorization
	}
	if user != "" {
		opts = append(opts, nats.UserInfo(user, password))
	}
	if token != "" {
		opts = append(opts, nats.Token(token))
	}
	if l.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(l.CredentialsFile))
	}
	if l.NKeySeedFile != "" {
		opt, err := nats.NkeyOptionFromSeed(l.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("nkey_seed_file: %w", err)
		}
		opts = append(opts, opt)
	}
	if !embedded {
		opts = append(opts, l.TLS.options()...)
	}
	return opts, nil
}

func (t *LoginTLS) options() []nats.Option {
	var opts []nats.Option
	if t.Required || t.ServerName != "" || t.SkipVerify {
		// SkipVerify is the operator's explicit choice, as in NATS' own configuration.
		opts = append(opts, nats.Secure(&tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         t.ServerName,
			InsecureSkipVerify: t.SkipVerify,
		}))
	}
	if t.CAFile != "" {
		opts = append(opts, nats.RootCAs(t.CAFile))
	}
	if t.CertFile != "" || t.KeyFile != "" {
		opts = append(opts, nats.ClientCert(t.CertFile, t.KeyFile))
	}
	return opts
}
