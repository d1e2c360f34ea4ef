package natsconn

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nats-io/jwt/v2"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"
)

// Login is how the server's own connections log in to NATS.
//
// External servers see the connections as any other client. The embedded server accepts the server's own connections,
// which are in process, without any setting: as generated users in the account of the streaming clients, with the rights that they
// need. Two cases need a setting. If the embedded server trusts operators, only they can admit a user: set
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

	// own are the users that the embedded server admits, by kind of connection; nil if unused. byKey says that they log in
	// with keys.
	own   map[string]*ownUser
	byKey bool
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

// ownUser is a user that the embedded server knows for one of the server's own connections.
type ownUser struct {
	name, password string
	key            nkeys.KeyPair
	// admitted says that the embedded server has users, of whom this is one. If it has none, a login with a name would be ended by
	// each reload: NATS takes it for that of a user who is gone.
	admitted atomic.Bool
}

// login returns the name and the password for the next login.
func (u *ownUser) login() (name, password string) {
	if !u.admitted.Load() {
		return "", ""
	}
	return u.name, u.password
}

// Admit lets the server's own connections log in to the embedded server, which is about to start or to reload its
// options.
func (o *Options) Admit(embedded *natsd.Options) error {
	l := o.Login
	switch {
	case l.explicit():
		return nil
	case trustsOperators(embedded):
		return errors.New("the NATS server trusts operators: set `credentials` in the streaming block to the credentials file of a user in the streaming clients' account")
	}
	first := l.own == nil
	if first {
		l.byKey = embedded.TLSMap
		if err := l.makeOwn(o.ClusterID); err != nil {
			return err
		}
	}
	if len(embedded.Users) == 0 && len(embedded.Nkeys) == 0 && embedded.Username == "" && embedded.Authorization == "" {
		for _, own := range l.own {
			own.admitted.Store(false)
		}
		return nil // NATS accepts every client
	}
	if l.byKey != embedded.TLSMap {
		return errors.New("verify_and_map needs a restart")
	}
	account, err := l.account(embedded)
	if err != nil {
		return err
	}
	if u := embedded.Username; u != "" && !l.byKey && !slices.ContainsFunc(embedded.Users, func(it *natsd.User) bool { return it.Username == u }) {
		// Beside other users, NATS forgets the single one.
		embedded.Users = append(embedded.Users, &natsd.User{Username: u, Password: embedded.Password})
	}
	for kind, rights := range o.rights() {
		id, err := l.own[kind].admit(embedded, account, rights, l.byKey)
		if err != nil {
			return fmt.Errorf("user of connection %s: %w", kind, err)
		}
		l.own[kind].admitted.Store(true)
		if embedded.AuthCallout != nil {
			embedded.AuthCallout.AuthUsers = append(embedded.AuthCallout.AuthUsers, id)
		}
	}
	return nil
}

func trustsOperators(o *natsd.Options) bool {
	return len(o.TrustedOperators) > 0 || len(o.TrustedKeys) > 0
}

// makeOwn makes the users of the server's own connections. Their secrets last as long as the process.
func (l *Login) makeOwn(clusterID string) error {
	l.own = make(map[string]*ownUser)
	for _, kind := range []string{general, send, pubAcks, acks, heartbeats, relaying} {
		key, err := nkeys.CreateUser()
		if err != nil {
			return fmt.Errorf("generate NATS key: %w", err)
		}
		l.own[kind] = &ownUser{name: connectionName(clusterID, kind), password: rand.Text(), key: key}
	}
	return nil
}

// admit adds the user to the options of the embedded server, and returns by what NATS knows it: by its name, or by its key if
// NATS takes the names of users from certificates, which connections in process do not have. With keys, NATS asks every client for
// a signature, which some do not expect.
func (u *ownUser) admit(embedded *natsd.Options, account *natsd.Account, rights *natsd.Permissions, byKey bool) (string, error) {
	inProcess := map[string]struct{}{jwt.ConnectionTypeInProcess: {}}
	if byKey {
		public, err := u.key.PublicKey()
		if err != nil {
			return "", err
		}
		embedded.Nkeys = append(embedded.Nkeys, &natsd.NkeyUser{
			Nkey: public, Account: account, Permissions: rights, AllowedConnectionTypes: inProcess,
		})
		return public, nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(u.password), bcrypt.MinCost) // random: no hash needs to be slow
	if err != nil {
		return "", err
	}
	embedded.Users = append(embedded.Users, &natsd.User{
		Username: u.name, Password: string(hash), Account: account, Permissions: rights, AllowedConnectionTypes: inProcess,
	})
	return u.name, nil
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

// options returns the login options of a connection of a kind. embedded means that the connection is in process.
func (l *Login) options(o *natsd.Options, kind string, embedded bool) ([]nats.Option, error) {
	var opts []nats.Option
	if own := l.own[kind]; embedded && own != nil {
		if !l.byKey {
			return append(opts, nats.UserInfoHandler(own.login)), nil
		}
		public, err := own.key.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("NATS key: %w", err)
		}
		return append(opts, nats.Nkey(public, own.key.Sign)), nil
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
