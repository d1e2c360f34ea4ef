package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// TestUpgradingGuide runs the commands of docs/operate/upgrading.md in order, on a store written by NATS Streaming.
func TestUpgradingGuide(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/upgrading.md")
	report := page.Find(t, blocks, "text", "")
	for _, store := range []string{"postgres", "mysql", "file"} {
		t.Run(store, func(t *testing.T) {
			g := newWalk(t, store)
			for _, b := range blocks {
				if b.Language == "sh" && (b.Name == "" || b.Name == store) && strings.Contains(b.Heading, "SQL") == (store != "file") {
					g.run(b.Text(), report)
				}
			}
			g.end()
		})
	}
}

// walk follows the page with one kind of store.
type walk struct {
	t      *testing.T
	dir    string // contains server.conf
	env    []string
	port   int
	former string // the binary of NATS Streaming
	server *server
}

func newWalk(t *testing.T, store string) *walk {
	t.Helper()
	former, err := upstream.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := &walk{t: t, dir: t.TempDir(), former: former}
	if g.port, err = databases.FreePort(); err != nil {
		t.Fatal(err)
	}
	g.install()
	data := filepath.Join(g.dir, "data")
	conf := fmt.Sprintf("store: file, dir: %q", data)
	g.env = append(g.env, "DIR="+data)
	if store != "file" {
		source := map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL}[store](t)
		createFormerTables(t, store, source)
		conf = fmt.Sprintf("store: sql, sql { driver: %s, source: %q }", store, source)
		g.env = append(g.env, "SOURCE="+source)
		if store == "mysql" {
			g.mysqlClient(source)
		}
	}
	g.write("server.conf", fmt.Sprintf("listen: \"127.0.0.1:%d\"\nstreaming { cluster_id: test-cluster, %s, events { channels: [\"orders.>\"] } }\n", g.port, conf))
	g.start(g.former)
	publish(t, g.server.connect("client"), "orders.new", event(t, "A", "T"), []byte("no event"), event(t, "A", "T"))
	g.stop()
	return g
}

// install puts the server into the PATH of commands.
func (g *walk) install() {
	g.t.Helper()
	if err := os.Symlink(harness.Binary(), filepath.Join(g.dir, "nats-streaming-server")); err != nil {
		g.t.Fatal(err)
	}
	g.env = append(os.Environ(), "PATH="+g.dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func (g *walk) mysqlClient(source string) {
	g.t.Helper()
	cfg, err := mysqldriver.ParseDSN(source)
	if err != nil {
		g.t.Fatal(err)
	}
	host, port, _ := strings.Cut(cfg.Addr, ":")
	g.write("client.cnf", fmt.Sprintf("[client]\nhost=%s\nport=%s\nuser=%s\npassword=%s\n", host, port, cfg.User, cfg.Passwd))
	g.env = append(g.env, "DATABASE="+cfg.DBName)
}

func (g *walk) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *walk) start(binary string, args ...string) {
	g.t.Helper()
	if len(args) == 0 {
		args = []string{"-c", "server.conf"}
	}
	s := prepare(g.t, binary)
	s.Dir, s.Port, s.Args = g.dir, g.port, args
	s.Launch()
	s.Ready()
	g.server = s
}

func (g *walk) stop() {
	if g.server != nil {
		g.server.Stop()
		g.server = nil
	}
}

// run runs a block. A server that it starts keeps running until the next block.
func (g *walk) run(text string, report *page.Block) {
	g.t.Helper()
	g.stop()
	words := strings.Fields(text)
	if words[0] == "nats-streaming-server" && words[1] == "-c" {
		g.start(harness.Binary(), words[1:]...)
		if got := g.sequences("upgraded"); got != "1 2 3" {
			g.t.Errorf("after the upgrade: got sequences %s", got)
		}
		publish(g.t, g.server.connect("publisher"), "orders.new", event(g.t, "A", "T", withVersion(3)))
		return
	}
	out := g.shell(text)
	switch {
	case strings.Contains(text, "-dry_run"):
		has(g.t, out, `Channel "orders.new": 2 messages would become events, 1 stay as they are.`, "00002_events.sql")
	case strings.Contains(text, " migrate "), strings.Contains(text, " import "):
		if !report.Matches(out) {
			g.t.Errorf("got\n%s\nwant\n%s", out, report.Text())
		}
	}
}

// shell runs a block and returns its output.
func (g *walk) shell(text string) string {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), "sh", "-e", "-c", text)
	cmd.Dir, cmd.Env = g.dir, g.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%s%v\n%s", text, err, out)
	}
	return string(out)
}

// end starts NATS Streaming after the rollback.
func (g *walk) end() {
	g.t.Helper()
	g.stop()
	g.start(g.former)
	if got := g.sequences("back"); got != "1 2 3" {
		g.t.Errorf("after the rollback: got sequences %s", got)
	}
	g.stop()
}

// sequences returns the sequences of the channel's messages.
func (g *walk) sequences(client string) string {
	g.t.Helper()
	sc := g.server.connect(client)
	_, in := subscribe(g.t, sc, "orders.new", stan.DeliverAllAvailable())
	var all []string
	for range 3 {
		all = append(all, strconv.FormatUint(in.next(g.t).Sequence, 10))
	}
	in.none(g.t)
	if err := sc.Close(); err != nil {
		g.t.Error(err)
	}
	return strings.Join(all, " ")
}
