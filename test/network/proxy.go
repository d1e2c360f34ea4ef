// Package network gives tests an unreliable network: toxiproxy, in this process, between a client and its server.
package network

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// Proxy is a proxy between clients and a server on this machine.
type Proxy struct {
	t        testing.TB
	proxy    *toxiproxy.Proxy
	requests *trap
}

// Start starts a proxy to the server named in a source, a URL or a DSN. It returns the proxy and the source that leads
// through it. The proxy ends with the test.
func Start(t testing.TB, source string) (*Proxy, string) {
	t.Helper()
	target := address(source)
	// Disable its metrics.
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{t: t, proxy: toxiproxy.NewProxy(api, target, "127.0.0.1:0", target), requests: &trap{}}
	// A reset_peer that exists when a connection begins makes the connection end with a reset, as in a lost network. Its
	// toxicity of 0 prevents any other effect.
	p.add("resets", "reset_peer", "upstream", 0, "{}")
	p.add("requests", "requests", "upstream", 1, "{}").(*requests).trap = p.requests
	p.add("answers", "answers", "downstream", 1, "{}").(*answers).trap = p.requests
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("start a proxy to %s: %v", target, err)
	}
	t.Cleanup(p.Refuse)
	return p, strings.Replace(source, target, p.proxy.Listen, 1)
}

// address returns the first loopback host and port in a source.
func address(source string) string {
	const host = "127.0.0.1:"
	_, rest, _ := strings.Cut(source, host)
	end := strings.IndexFunc(rest+"/", func(r rune) bool { return r < '0' || r > '9' })
	return host + rest[:end]
}

// Cut resets all connections; later ones work.
func (p *Proxy) Cut() {
	p.t.Helper()
	p.Refuse()
	p.requests.restore()
	if p.proxy.Toxics.GetToxic("stall") != nil {
		if err := p.proxy.Toxics.RemoveToxic(context.Background(), "stall"); err != nil {
			p.t.Fatalf("remove a toxic: %v", err)
		}
	}
	if err := p.proxy.Start(); err != nil {
		p.t.Fatalf("restart the proxy: %v", err)
	}
}

// Refuse resets all connections and refuses new ones.
func (p *Proxy) Refuse() { p.proxy.Stop() }

// Stall drops the server's answers until the next Cut. The server continues to work, but the client does not learn what
// it did.
func (p *Proxy) Stall() {
	p.t.Helper()
	p.add("stall", "timeout", "downstream", 1, `{"timeout": 0}`)
}

// Silence stops reading on both sides without closing anything until the test ends, like a network that loses its route.
// Both sides believe that the connection is alive.
func (p *Proxy) Silence() {
	p.t.Helper()
	p.add("silence", "bandwidth", "upstream", 1, `{"rate": 0}`)
	p.add("silence of answers", "bandwidth", "downstream", 1, `{"rate": 0}`)
}

func (p *Proxy) add(name, kind, direction string, toxicity int, attributes string) toxics.Toxic {
	p.t.Helper()
	text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "toxicity": %d, "attributes": %s}`, name, kind, direction, toxicity, attributes)
	toxic, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(text))
	if err != nil {
		p.t.Fatalf("add toxic %s: %v", name, err)
	}
	return toxic.Toxic
}
