package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// secured starts a server on SQLite with a NATS configuration and waits until it is ready.
func secured(t *testing.T, conf string, args ...string) *server {
	t.Helper()
	return start(t, "sqlite", databases.SQLite(t), append([]string{"-c", write(t, "nats.conf", conf)}, args...)...)
}

// write writes a file and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// natsConn connects to NATS.
func natsConn(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.Timeout(patience))...)
	if err != nil {
		t.Fatalf("connect to NATS: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// works checks that a client can connect, publish and subscribe.
func works(t *testing.T, s *server, id string, opts ...nats.Option) {
	t.Helper()
	sc := s.connect(id, stan.NatsConn(natsConn(t, s.URL(), opts...)))
	_, in := subscribe(t, sc, id+".channel")
	publish(t, sc, id+".channel", []byte("hello"))
	if got := string(in.next(t).Data); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// refusedByNATS checks that NATS refuses a client.
func refusedByNATS(t *testing.T, s *server, opts ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(s.URL(), append(opts, nats.Timeout(patience))...)
	if err == nil {
		nc.Close()
		t.Error("a client without valid credentials was accepted")
	}
}

// keyPair returns a new user key, its public key, and a file with its seed.
func keyPair(t *testing.T) (key nkeys.KeyPair, public, file string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return key, public, write(t, "user.nk", string(seed))
}

// hashed is the bcrypt hash of "secret", at the lowest cost because the race detector makes bcrypt slow. The server
// cannot know any user's password.
const hashed = "$2a$04$L8R0VVqy7KGLkVFWNiz5Z.Z.UJZgMnwWwlWTqdvbI0nYZ0Fbs1dA."

// Clients authenticate as NATS is configured. The streaming part needs no credentials of its own.
func TestEmbeddedAuthentication(t *testing.T) {
	t.Parallel()
	key, public, _ := keyPair(t)
	for name, it := range map[string]struct {
		conf string
		args []string
		as   nats.Option
	}{
		"user":         {`authorization { user: a, password: secret }`, nil, nats.UserInfo("a", "secret")},
		"token":        {`authorization { token: secret }`, nil, nats.Token("secret")},
		"flags":        {`debug: false`, []string{"-user", "a", "-pass", "secret"}, nats.UserInfo("a", "secret")},
		"token flag":   {`debug: false`, []string{"-auth", "secret"}, nats.Token("secret")},
		"users":        {`authorization { users: [{user: a, password: secret}, {user: b, password: "` + hashed + `"}] }`, nil, nats.UserInfo("b", "secret")},
		"nkeys":        {`authorization { users: [{nkey: ` + public + `}] }`, nil, nats.Nkey(public, key.Sign)},
		"one account":  {`accounts { A { users: [{user: a, password: secret}] }, SYS { users: [{user: s, password: x}] } }, system_account: SYS`, nil, nats.UserInfo("a", "secret")},
		"no auth user": {`accounts { A { users: [{user: a, password: secret}] }, B { users: [{user: b, password: x}] } }, no_auth_user: a`, nil, nats.Name("anonymous")},
		"account":      {`accounts { A { users: [{user: a, password: secret}] }, B { users: [{user: b, password: x}] } }, streaming { account: A }`, nil, nats.UserInfo("a", "secret")},
		"own user":     {`accounts { A { users: [{user: a, password: secret}] }, B { users: [{user: b, password: x}] } }, streaming { username: a, password: secret }`, nil, nats.UserInfo("a", "secret")},
		"system only":  {`accounts { $SYS { users: [{user: s, password: x}] } }`, nil, nats.Name("anonymous")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secured(t, it.conf, it.args...)
			works(t, s, "client", it.as)
			refusedByNATS(t, s, nats.UserInfo("a", "wrong"))
		})
	}
}

// The streaming part must not guess which account it serves.
func TestAmbiguousAccount(t *testing.T) {
	t.Parallel()
	for conf, want := range map[string]string{
		`accounts { A { users: [{user: a, password: x}] }, B { users: [{user: b, password: x}] } }`: "several accounts have users (A, B)",
		`authorization { users: [{user: a, password: x}] }, streaming { account: C }`:               `streaming account "C" is not configured`,
	} {
		out, status := runBinary(t, "-p", "-1", "-st", "memory", "-c", write(t, "nats.conf", conf))
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("status %d, want %q in %s", status, want, out)
		}
	}
}

// A server whose user may not receive client requests must not report that it is ready.
func TestOwnUserWithoutPermission(t *testing.T) {
	t.Parallel()
	conf := `authorization { users: [{user: a, password: x, permissions: { subscribe: "_INBOX.>" }}] }, streaming { user: a, password: x }`
	out, status := runBinary(t, "-p", "-1", "-st", "memory", "-c", write(t, "nats.conf", conf))
	if status != 1 || !strings.Contains(out, "Failed to start: subscribe to the subjects of clients: nats: permissions violation") {
		t.Errorf("status %d, output %s", status, out)
	}
}

// operator is a JWT operator with one account.
type operator struct {
	t       *testing.T
	conf    string // of a NATS server that trusts the operator
	account nkeys.KeyPair
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	op, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t}
	if o.account, err = nkeys.CreateAccount(); err != nil {
		t.Fatal(err)
	}
	claims := jwt.NewOperatorClaims(o.public(op))
	operatorJWT, err := claims.Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	account, err := jwt.NewAccountClaims(o.public(o.account)).Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	o.conf = fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload { %s: %s }\n", operatorJWT, o.public(o.account), account)
	return o
}

func (o *operator) public(key nkeys.KeyPair) string {
	o.t.Helper()
	public, err := key.PublicKey()
	if err != nil {
		o.t.Fatal(err)
	}
	return public
}

// credentials returns the credentials file of a new user of the account.
func (o *operator) credentials() string {
	o.t.Helper()
	key, public, _ := keyPair(o.t)
	token, err := jwt.NewUserClaims(public).Encode(o.account)
	if err != nil {
		o.t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		o.t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		o.t.Fatal(err)
	}
	return write(o.t, "user.creds", string(creds))
}

func TestEmbeddedOperator(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	s := secured(t, o.conf+fmt.Sprintf("streaming { credentials: %q }", o.credentials()))
	works(t, s, "client", nats.UserCredentials(o.credentials()))
	refusedByNATS(t, s)
	refusedByNATS(t, s, nats.UserCredentials(newOperator(t).credentials()))

	out, status := runBinary(t, "-p", "-1", "-st", "memory", "-c", write(t, "nats.conf", o.conf))
	if status != 1 || !strings.Contains(out, "`credentials` in the streaming block") {
		t.Errorf("without credentials: status %d, output %s", status, out)
	}
}

func TestEmbeddedTLS(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	serverCert, clientCert := ca.Issue("server"), ca.Issue("client")
	block := func(more string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q %s }\n", serverCert.Cert, serverCert.Key, ca.File, more)
	}
	trusting, identified := nats.RootCAs(ca.File), nats.ClientCert(clientCert.Cert, clientCert.Key)
	for name, conf := range map[string]string{
		"TLS":             block(""),
		"handshake first": block(", handshake_first: true"),
		"mutual":          block(", verify: true"),
		"mapped user":     block(", verify_and_map: true") + `authorization { users: [{user: "CN=client"}] }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secured(t, conf)
			opts := []nats.Option{trusting, identified}
			if name == "handshake first" {
				opts = append(opts, nats.TLSHandshakeFirst())
			}
			works(t, s, "client", opts...)
			refusedByNATS(t, s) // the client does not trust the authority
			if strings.Contains(conf, "verify") {
				refusedByNATS(t, s, trusting)
			}
		})
	}
}

// Permissions on NATS subjects protect channels: a request cannot name another channel than its subject.
func TestPublishPermissions(t *testing.T) {
	t.Parallel()
	// The permissions that docs/operate/operations.md lists for clients.
	s := secured(t, `authorization {
		writer: {
			publish: ["_STAN.discover.test-cluster", "_STAN.discover.test-cluster.pings", "_STAN.close.test-cluster", "_INBOX.>", "_STAN.pub.test-cluster.a"]
			subscribe: ["_INBOX.>", "_STAN.acks.>"]
		}
		reader: {
			publish: ["_STAN.discover.test-cluster", "_STAN.discover.test-cluster.pings", "_STAN.close.test-cluster", "_INBOX.>", "_STAN.sub.test-cluster", "_STAN.unsub.test-cluster", "_STAN.subclose.test-cluster"]
			subscribe: ["_INBOX.>", "_STAN.acks.>"]
		}
		users: [{user: writer, password: x, permissions: $writer}, {user: reader, password: x, permissions: $reader}]
	}`)
	denied := make(chan error, 10)
	nc := natsConn(t, s.URL(), nats.UserInfo("writer", "x"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		denied <- err
	}))
	sc := s.connect("writer", stan.NatsConn(nc), stan.PubAckWait(5*time.Second))
	publish(t, sc, "a", []byte("allowed"))
	if err := sc.Publish("b", []byte("denied")); err == nil {
		t.Error("a publish without permission was acknowledged")
	}
	select {
	case err := <-denied:
		if !strings.Contains(err.Error(), `Publish to "_STAN.pub.test-cluster.b"`) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("NATS did not report a permission violation")
	}
	// The request lies: permitted subject, other channel.
	req := pb.PubMsg{ClientID: "writer", Guid: nuidLike, Subject: "b", Data: []byte("smuggled")}
	data, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := nc.Request("_STAN.pub.test-cluster.a", data, patience)
	if err != nil {
		t.Fatal(err)
	}
	var ack pb.PubAck
	if err := ack.Unmarshal(answer.Data); err != nil || ack.Error == "" {
		t.Errorf("the lie was acknowledged: %v %v", ack, err)
	}

	reader := s.connect("reader", stan.NatsConn(natsConn(t, s.URL(), nats.UserInfo("reader", "x"))), stan.PubAckWait(5*time.Second))
	sub, a := subscribe(t, reader, "a", stan.DeliverAllAvailable())
	if got := string(a.next(t).Data); got != "allowed" {
		t.Errorf("got %q", got)
	}
	if err := reader.Publish("a", nil); err == nil {
		t.Error("a reader published")
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Error(err)
	}
	contiguous(t, s.driver, s.source, "a", 1)
	contiguous(t, s.driver, s.source, "b", 0)
}

const nuidLike = "abcdefghijklmnopqrstuv"

// SIGHUP reloads the NATS configuration without disturbing the streaming part.
func TestReload(t *testing.T) {
	t.Parallel()
	s := secured(t, `debug: false`, "-SD", "-m", "-1")
	file := s.Args[slices.Index(s.Args, "-c")+1]
	const broken = "Disconnected from NATS"
	works(t, s, "before")
	reload := func(text, done string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Process.Signal(syscall.SIGHUP)
		s.WaitLog(t, done)
	}
	reload(`debug: false, max_connections: 1000`, "Reloaded: max_connections = 1000")
	works(t, s, "again")
	if s.Log.Contains(broken) {
		t.Error("the reload broke the server's own connections")
	}
	reload(`authorization { users: [{user: a, password: one}] }`, "Reloaded: max_connections = 65536")
	eventually(t, func() bool { // who was nobody has to be somebody now
		return strings.Count(s.Log.String(), "Reconnected to NATS") == strings.Count(s.Log.String(), broken) && s.Log.Contains(broken)
	})
	works(t, s, "first", nats.UserInfo("a", "one"))
	refusedByNATS(t, s)
	before := strings.Count(s.Log.String(), broken)
	reload(`authorization { users: [{user: b, password: two}] }, debug: true`, "Reloaded: debug = true")
	works(t, s, "second", nats.UserInfo("b", "two"))
	refusedByNATS(t, s, nats.UserInfo("a", "one"))
	reload("streaming {\n nonsense: 1\n}", file+`:2: unknown key "nonsense"`)
	works(t, s, "third", nats.UserInfo("b", "two"))
	if got := s.json("/streaming/serverz")["state"]; got != "STANDALONE" {
		t.Errorf("the monitoring port after reloads: state %v", got)
	}
	// Later log lines use both formats.
	s.WaitLog(t, "[Client:third] Connected")
	if after := strings.Count(s.Log.String(), broken); after != before {
		t.Error("the reload broke the server's own connections")
	}
}

// With external NATS servers, the streaming part authenticates like a client.
func TestExternalAuthentication(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	serverCert, clientCert := ca.Issue("server"), ca.Issue("client")
	tlsBlock := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", serverCert.Cert, serverCert.Key, ca.File)
	key, public, seed := keyPair(t)
	op := newOperator(t)
	identified := []nats.Option{nats.RootCAs(ca.File), nats.ClientCert(clientCert.Cert, clientCert.Key)}
	login := func(text string) []string {
		return []string{"-sc", write(t, "streaming.conf", "streaming { "+text+" }")}
	}
	for name, it := range map[string]struct {
		conf string
		url  string // %d is replaced with the port
		args []string
		as   []nats.Option
	}{
		"URL":         {`authorization { user: a, password: secret }`, "nats://a:secret@127.0.0.1:%d", nil, []nats.Option{nats.UserInfo("a", "secret")}},
		"list":        {`authorization { user: a, password: secret }`, "nats://a:secret@127.0.0.1:1, nats://a:secret@127.0.0.1:%d", nil, []nats.Option{nats.UserInfo("a", "secret")}},
		"scheme":      {`debug: false`, "tcp://127.0.0.1:%d", nil, nil},
		"flags":       {`authorization { user: a, password: secret }`, "nats://127.0.0.1:%d", []string{"-user", "a", "-pass", "secret"}, []nats.Option{nats.UserInfo("a", "secret")}},
		"token flag":  {`authorization { token: secret }`, "nats://127.0.0.1:%d", []string{"-auth", "secret"}, []nats.Option{nats.Token("secret")}},
		"user":        {`authorization { user: a, password: secret }`, "nats://127.0.0.1:%d", login("user: a, pass: secret"), []nats.Option{nats.UserInfo("a", "secret")}},
		"token":       {`authorization { token: secret }`, "nats://127.0.0.1:%d", login("token: secret"), []nats.Option{nats.Token("secret")}},
		"nkey":        {`authorization { users: [{nkey: ` + public + `}] }`, "nats://127.0.0.1:%d", login(fmt.Sprintf("nkey_seed_file: %q", seed)), []nats.Option{nats.Nkey(public, key.Sign)}},
		"credentials": {op.conf, "nats://127.0.0.1:%d", login(fmt.Sprintf("credentials: %q", op.credentials())), []nats.Option{nats.UserCredentials(op.credentials())}},
		"TLS flags":   {tlsBlock, "nats://127.0.0.1:%d", []string{"-tls_client_cert", clientCert.Cert, "-tls_client_key=" + clientCert.Key, "--tls_client_cacert", ca.File}, identified},
		"TLS block":   {tlsBlock, "nats://127.0.0.1:%d", login(fmt.Sprintf("secure: true, tls { client_cert: %q, client_key: %q, client_ca: %q, server_name: localhost }", clientCert.Cert, clientCert.Key, ca.File)), identified},
		"no verify":   {tlsBlock, "nats://127.0.0.1:%d", login(fmt.Sprintf("tls { client_cert: %q, client_key: %q, skip_verify: true }", clientCert.Cert, clientCert.Key)), identified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := startNATS(t, it.conf)
			url := strings.Replace(it.url, "%d", strconv.Itoa(port), 1)
			s := start(t, "sqlite", databases.SQLite(t), append([]string{"-ns", url}, it.args...)...)
			s.Port = port
			works(t, s, "client", it.as...)
			if name == "URL" {
				s.Process.Signal(syscall.SIGHUP)
				s.WaitLog(t, "[INF] STREAM: Reloaded the access file")
			}
		})
	}
	t.Run("wrong", func(t *testing.T) {
		t.Parallel()
		url := fmt.Sprintf("nats://127.0.0.1:%d", startNATS(t, tlsBlock))
		for args, want := range map[string]string{"": "certificate", "-secure": "certificate"} {
			out, status := runBinary(t, append(strings.Fields(args), "-st", "memory", "-ns", url)...)
			if status != 1 || !strings.Contains(out, want) {
				t.Errorf("%q: status %d, output %s", args, status, out)
			}
		}
	})
}

// startNATS starts a NATS server and returns its port.
func startNATS(t *testing.T, conf string) int {
	t.Helper()
	opts, err := natsd.ProcessConfigFile(write(t, "nats.conf", conf))
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", -1, true, true
	ns, err := natsd.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	return ns.Addr().(*net.TCPAddr).Port
}
