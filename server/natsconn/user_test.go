package natsconn

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/jwt/v2"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// TestUsersOfPeers shows that a client cannot choose under which name it is known.
func TestUsersOfPeers(t *testing.T) {
	t.Parallel()
	public, key := userKey(t)
	claimed, _ := userKey(t)
	users := []*natsd.User{{Username: "app", Password: "secret"}, {Username: "victim", Password: "other"}}
	app := nats.UserInfo("app", "secret")
	named := func(key string) nats.Option {
		return nats.Nkey(key, func([]byte) ([]byte, error) { return nil, nil })
	}
	for name, it := range map[string]struct {
		options func(t *testing.T) (*natsd.Options, *Login)
		login   []nats.Option
		want    string
	}{
		"user":                   {with(natsd.Options{Users: users}), []nats.Option{app}, "app"},
		"user, claims a key":     {with(natsd.Options{Users: users}), []nats.Option{app, named("victim")}, ""},
		"user, looks like a log": {with(natsd.Options{Users: users}), []nats.Option{app, named(`x" - "$G/user:victim`)}, ""},
		"one user":               {with(natsd.Options{Username: "app", Password: "secret"}), []nats.Option{app}, "app"},
		"nkey":                   {with(natsd.Options{Nkeys: []*natsd.NkeyUser{{Nkey: public}}}), []nats.Option{nats.Nkey(public, key.Sign)}, public},
		"JWT":                    {operators(key, public), nil, public},
		"JWT, claims a user":     {operators(key, public), []nats.Option{nats.UserInfo(claimed, "")}, ""},
		"nobody":                 {with(natsd.Options{}), nil, ""},
		"nobody, claims a user":  {with(natsd.Options{}), []nats.Option{nats.Name("$G/user:victim")}, ""},
		"of one of the accounts": {accounts, []nats.Option{app}, "app"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, login := it.options(t)
			o.AlwaysEnableNonce = true // clients name a key only if there is one
			ns, conns := serverWith(t, o, login)
			opts := it.login
			if login.CredentialsFile != "" {
				opts = append(opts, nats.UserCredentials(login.CredentialsFile))
			}
			nc, err := nats.Connect(ns.ClientURL(), opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			listen(t, nc, "_INBOX.a.*")
			found, err := conns.Peers.Listening("_INBOX.a.1", "_INBOX.b.1")
			if err != nil {
				t.Fatal(err)
			}
			id, err := nc.GetClientID()
			if err != nil {
				t.Fatal(err)
			}
			if want := []Peer{{ID: id, User: it.want, Host: "127.0.0.1"}}; !slices.Equal(found[0], want) || len(found[1]) != 0 {
				t.Errorf("found %v, want %v", found, want)
			}
		})
	}
}

func listen(t *testing.T, nc *nats.Conn, subject string) {
	t.Helper()
	if _, err := nc.SubscribeSync(subject); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}

func with(o natsd.Options) func(*testing.T) (*natsd.Options, *Login) {
	return func(*testing.T) (*natsd.Options, *Login) { return o.Clone(), &Login{} }
}

// accounts has users in two accounts, and the server's own connections log in as one of them.
func accounts(*testing.T) (*natsd.Options, *Login) {
	a, b := natsd.NewAccount("A"), natsd.NewAccount("B")
	return &natsd.Options{Accounts: []*natsd.Account{a, b}, Users: []*natsd.User{
		{Username: "streaming", Password: "secret", Account: a}, {Username: "app", Password: "secret", Account: a},
		{Username: "other", Password: "secret", Account: b},
	}}, &Login{User: "streaming", Password: "secret"}
}

// operators has an account with one user, as which everybody logs in.
func operators(key nkeys.KeyPair, public string) func(*testing.T) (*natsd.Options, *Login) {
	return func(t *testing.T) (*natsd.Options, *Login) {
		operator, account := pair(t, nkeys.CreateOperator), pair(t, nkeys.CreateAccount)
		claims := jwt.NewAccountClaims(publicKey(t, account))
		claims.Name = "shop/jwt:" + public
		accountJWT, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		userJWT, err := jwt.NewUserClaims(public).Encode(account)
		if err != nil {
			t.Fatal(err)
		}
		seed, err := key.Seed()
		if err != nil {
			t.Fatal(err)
		}
		creds, err := jwt.FormatUserConfig(userJWT, seed)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "user.creds")
		if err := os.WriteFile(file, creds, 0o600); err != nil {
			t.Fatal(err)
		}
		resolver := &natsd.MemAccResolver{}
		if err := resolver.Store(publicKey(t, account), accountJWT); err != nil {
			t.Fatal(err)
		}
		return &natsd.Options{TrustedKeys: []string{publicKey(t, operator)}, AccountResolver: resolver}, &Login{CredentialsFile: file}
	}
}

func userKey(t *testing.T) (string, nkeys.KeyPair) {
	t.Helper()
	key := pair(t, nkeys.CreateUser)
	return publicKey(t, key), key
}

func pair(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}
