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
// External servers are logged in to as by any client. The embedded server admits the own connections, which are made
// inside the process, without any setting: with a key that is generated at the start and has all permissions in the
// account of the streaming clients. Two cases need a setting: CredentialsFile, where the embedded server trusts
// operators, since only they can let anybody in; and Account, where several accounts have users.
type Login struct {
	User     string
	Password string
	Token    string
	// CredentialsFile has a user JWT and the seed of its key; NKeySeedFile only a seed.
	CredentialsFile string
	NKeySeedFile    string
	// Account is that of streaming clients on the embedded server; by default the account of its no_auth_user,
	// else the global one if it has users, else the only one that has.
	Account string
	// TLS is used towards external servers; connections within the process need none.
	TLS LoginTLS

	// own is the key that the embedded server admits, nil if it is not used.
	own nkeys.KeyPair
}

// LoginTLS says how the server's own connections use TLS. Certificates and keys are PEM files.
type LoginTLS struct {
	Required   bool   // even if the NATS server does not ask for it
	CertFile   string // certificate of the client
	KeyFile    string
	CAFile     string // authority of the server's certificate; "": those of the system
	ServerName string // in the server's certificate; "": that of the URL
	SkipVerify bool   // accept any certificate
}

// explicit reports whether the settings say who the own connections are.
func (l *Login) explicit() bool {
	return l.User != "" || l.Token != "" || l.CredentialsFile != "" || l.NKeySeedFile != ""
}

// Admit makes the embedded server, which has not started yet or reloads its options, admit the own connections.
func (l *Login) Admit(o *natsd.Options) error {
	// So that one key serves before and after a reload that configures the first user.
	o.AlwaysEnableNonce = true
	switch {
	case l.explicit():
		return nil
	case len(o.TrustedOperators) > 0 || len(o.TrustedKeys) > 0:
		return errors.New("the NATS server trusts operators: streaming needs a user of its clients' account, name its file with `credentials` in the streaming block")
	}
	if l.own == nil {
		key, err := nkeys.CreateUser()
		if err != nil {
			return fmt.Errorf("generate a key for NATS: %w", err)
		}
		l.own = key
	}
	if len(o.Users) == 0 && len(o.Nkeys) == 0 && o.Username == "" && o.Authorization == "" {
		return nil // everybody is admitted
	}
	account, err := l.account(o)
	if err != nil {
		return err
	}
	public, err := l.own.PublicKey()
	if err != nil {
		return fmt.Errorf("key for NATS: %w", err)
	}
	o.Nkeys = append(o.Nkeys, &natsd.NkeyUser{Nkey: public, Account: account})
	if o.AuthCallout != nil {
		o.AuthCallout.AuthUsers = append(o.AuthCallout.AuthUsers, public)
	}
	return nil
}

// account returns the account of streaming clients; nil is the global one.
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
		return nil, fmt.Errorf("account %q of streaming is not configured", l.Account)
	case global || len(users) == 0:
		return nil, nil
	case len(users) > 1:
		return nil, fmt.Errorf("several accounts have users (%s): name that of streaming clients with `account` in the streaming block",
			strings.Join(slices.Sorted(maps.Keys(users)), ", "))
	}
	for _, a := range users {
		return a, nil
	}
	return nil, nil // not reached
}

// options returns what a connection needs to log in; embedded says that it is made within the process.
func (l *Login) options(o *natsd.Options, embedded bool) ([]nats.Option, error) {
	var opts []nats.Option
	if embedded && l.own != nil {
		public, err := l.own.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("key for NATS: %w", err)
		}
		return append(opts, nats.Nkey(public, l.own.Sign)), nil
	}
	// Flags come before the streaming block.
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
		// SkipVerify is the operator's explicit wish, as in NATS' own configuration.
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
