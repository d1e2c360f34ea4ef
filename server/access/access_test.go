package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, content string) (*Policy, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "access.conf")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

func mustLoad(t *testing.T, content string) *Policy {
	t.Helper()
	p, err := load(t, content)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRights(t *testing.T) {
	t.Parallel()
	token, hash := NewToken()
	p := mustLoad(t, `
SALES = "eventstore.sales.>"
principals: [
  { name: billing
    tokens: ["`+hash+`"]
    nats_users: [billing, "billing 2"]
    append: ["eventstore.billing.*"], read: [$SALES, "eventstore.billing.>"]
    monitor: true }
  { name: keeper, nats_users: keeper, admin: "eventstore.>" }
]`)
	billing := p.ByToken(token)
	for _, it := range []struct {
		right   Right
		channel string
		may     bool
	}{
		{Append, "eventstore.billing.a", true},
		{Append, "eventstore.billing.a.b", false},
		{Append, "eventstore.billing", false},
		{Append, "eventstore.sales.a", false},
		{Read, "eventstore.sales.a", true},
		{Read, "eventstore.billing.a.b", true},
		{Read, "eventstore.billing.*", false}, // not a channel
		{Consume, "eventstore.billing.a", false},
		{Admin, "eventstore.billing.a", false},
	} {
		if got := billing.May(it.right, it.channel); got != it.may {
			t.Errorf("billing may %s %s: %v", it.right, it.channel, got)
		}
	}
	keeper := p.ByUser("keeper")
	for _, right := range []Right{Append, Read, Consume, Admin} {
		if !keeper.May(right, "eventstore.x") || keeper.May(right, "other") {
			t.Errorf("admin of eventstore.> does not mean %s on exactly these channels", right)
		}
		if (*Principal)(nil).May(right, "eventstore.x") {
			t.Errorf("nobody may %s", right)
		}
		if !Everything("all").May(right, "any.channel") {
			t.Errorf("Everything may not %s", right)
		}
	}
	for pattern, may := range map[string]bool{
		"eventstore.sales.>": true, "eventstore.sales.*": true, "eventstore.sales.a": true, "eventstore.billing.*.x": true,
		"eventstore.>": false, "eventstore.*.a": false, ">": false, "eventstore.billing.>": true, "a.>.b": false, "eventstore.sales": false,
	} {
		if got := billing.MayAll(Read, pattern); got != may {
			t.Errorf("billing may read all of %s: %v", pattern, got)
		}
	}
	if !keeper.MayAll(Consume, "eventstore.*") || keeper.MayAll(Consume, "*.x") || (*Principal)(nil).MayAll(Consume, "a.*") {
		t.Error("admin of eventstore.> does not mean consume on exactly its patterns")
	}
	if !p.Monitors() || !billing.Monitor || keeper.Monitor {
		t.Error("the right to monitor is not billing's alone")
	}
	if p.ByUser("billing 2") != billing || p.ByUser("") != nil || p.ByToken("") != nil || p.ByToken(hash) != nil {
		t.Error("somebody was recognized wrongly")
	}
	var none *Policy
	if none.ByToken(token) != nil || none.ByUser("keeper") != nil || none.ByCertificate(&x509.Certificate{}) != nil || none.Monitors() {
		t.Error("a nil policy knows somebody")
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	_, hash := NewToken()
	for name, it := range map[string]struct{ content, err string }{
		"no principals":        {`# nobody`, `access.conf: principals must be a list`},
		"unknown key":          {"principals: []\nprincipal: []", `access.conf:2: unknown key "principal"`},
		"unknown right":        {"principals: [\n{ name: a\n write: [x] }]", `access.conf:3: unknown key "write"`},
		"no name":              {"principals: [\n{ read: [x] }]", `access.conf:2: a principal needs a name`},
		"name twice":           {"principals: [\n{ name: a }\n{ name: a } ]", `access.conf:3: principal "a" appears twice`},
		"token in plain text":  {"principals: [ { name: a\n tokens: [geheim] }]", `access.conf:2: tokens: a token is written as its hash`},
		"short hash":           {"principals: [ { name: a\n tokens: [\"sha256:12ab\"] }]", `nats-streaming-server token prints a new token`},
		"token twice":          {"principals: [ { name: a, tokens: [\"" + hash + "\"] }\n{ name: b, tokens: [\"" + hash + "\"] }]", `access.conf:2: tokens: token appears twice: at principal "a", too`},
		"user twice":           {"principals: [ { name: a, nats_users: [u] }\n{ name: b, nats_users: [u] }]", `access.conf:2: nats_users: user "u" appears twice`},
		"certificate twice":    {"principals: [ { name: a, certificates: [\"CN=x,O=y\"] }\n{ name: b, certificates: [\"O=y, CN=x\"] }]", `access.conf:2: certificates: certificate "O=y, CN=x" appears twice`},
		"bad pattern":          {"principals: [ { name: a\n read: [\"a.>.b\"] }]", `access.conf:2: read: "a.>.b" is not a pattern of channels`},
		"bad subject":          {"principals: [ { name: a\n certificates: [\"CN=x,O\"] }]", `access.conf:2: certificates: subject "CN=x,O"`},
		"list of numbers":      {"principals: [ { name: a\n read: 1 }]", `access.conf:2: read must be a list of strings`},
		"monitor not a toggle": {"principals: [ { name: a\n monitor: 1 }]", `access.conf:2: monitor must be true or false`},
		"syntax":               {"principals: [", `access.conf: `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, it.content)
			if err == nil || !strings.Contains(err.Error(), it.err) {
				t.Fatalf("got error %v, want %s", err, it.err)
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestWarning(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]string{0o600: "", 0o640: "", 0o644: "can be read by all", 0o660: "can be changed by other"} {
		file := filepath.Join(t.TempDir(), "access.conf")
		if err := os.WriteFile(file, []byte("principals: []"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		p, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Warning(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("mode %o: warning %q", mode, got)
		}
	}
}

// certificate returns a certificate as it arrives in a handshake.
func certificate(t *testing.T, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, `principals: [
  { name: subject, certificates: ["CN=billing,O=Shop\\, Inc. ,ou=\\41B+2.5.4.5=7"] }
  { name: dns, certificates: ["Billing.Shop.example"] }
  { name: uri, certificates: ["spiffe://shop/billing"] }
  { name: email, certificates: ["billing@shop.example"] }
]`)
	spiffe, err := url.Parse("spiffe://shop/billing")
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Shop, Inc."}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "7"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "AB"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "billing"}},
	}
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	for name, it := range map[string]struct {
		template x509.Certificate
		want     string
	}{
		"subject":       {x509.Certificate{RawSubject: raw}, "subject"},
		"more in it":    {x509.Certificate{Subject: pkix.Name{CommonName: "billing", Organization: []string{"Shop, Inc.", "AB"}}}, ""},
		"dns":           {x509.Certificate{DNSNames: []string{"other", "billing.shop.example"}}, "dns"},
		"uri":           {x509.Certificate{URIs: []*url.URL{spiffe}}, "uri"},
		"email":         {x509.Certificate{EmailAddresses: []string{"billing@shop.example"}}, "email"},
		"wrong kind":    {x509.Certificate{EmailAddresses: []string{"billing.shop.example"}}, ""},
		"common name":   {x509.Certificate{Subject: pkix.Name{CommonName: "billing.shop.example"}}, ""},
		"several names": {x509.Certificate{URIs: []*url.URL{spiffe}, DNSNames: []string{"billing.shop.example"}}, ""},
		"nothing":       {x509.Certificate{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if found := p.ByCertificate(certificate(t, &it.template)); found != nil {
				got = found.Name
			}
			if got != it.want {
				t.Errorf("the certificate is %q's, want %q's", got, it.want)
			}
		})
	}
}
