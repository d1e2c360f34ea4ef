package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// session is what a reader of a page has: a directory, a shell that remembers what was set, and one server.
type session struct {
	t     *testing.T
	dir   string // it looks like the repository
	state string
	env   []string
}

var needsDatabase = regexp.MustCompile(`(?m)^<!-- databases: (.*) -->$`)

// usual is how a database server of a distribution runs, as far as readers notice.
var usual = map[databases.Kind]struct {
	port      int
	arguments []string
}{
	databases.KindPostgres: {5432, nil},
	databases.KindMySQL:    {3306, []string{"--skip-name-resolve=OFF"}}, // for users at localhost
}

func newSession(t *testing.T, name string) *session {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(page.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, dir: t.TempDir(), state: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.state, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.borrowRepository()
	s.setEnvironment()
	t.Cleanup(func() {
		if out, err := s.command("stop-servers").CombinedOutput(); err != nil {
			t.Errorf("stop the servers: %v\n%s", err, out)
		}
	})
	if needs := needsDatabase.FindSubmatch(text); needs != nil {
		for kind := range strings.FieldsSeq(string(needs[1])) {
			where := usual[databases.Kind(kind)]
			databases.OwnOn(t, databases.Kind(kind), where.port, where.arguments...)
		}
	}
	return s
}

// borrowRepository links everything in the repository into the session's directory, but what is built or ignored.
func (s *session) borrowRepository() {
	s.t.Helper()
	entries, err := os.ReadDir(page.Root())
	if err != nil {
		s.t.Fatal(err)
	}
	root, err := filepath.Abs(page.Root())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case ".git", "bin", "data", "profiles":
		default:
			if err := os.Symlink(filepath.Join(root, name), filepath.Join(s.dir, name)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// setEnvironment puts our programs first into PATH, and tells clients of databases where ours are. The home directory is
// the session's, so only what the page says is configured.
func (s *session) setEnvironment() {
	s.t.Helper()
	root, err := filepath.Abs(page.Root())
	if err != nil {
		s.t.Fatal(err)
	}
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		s.t.Fatal(err)
	}
	realGo, err := exec.LookPath("go")
	if err != nil {
		s.t.Fatal(err)
	}
	caches, err := exec.Command(realGo, "env", "GOPATH", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	paths := strings.Fields(string(caches))
	s.env = append(os.Environ(),
		"PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+s.state,
		"SERVER_BINARY="+harness.Binary(), "TOOL_BINARY="+harness.Tool(s.t), "REAL_GO="+realGo, "REPOSITORY="+root, "STATE="+s.state, fmt.Sprint("TEST_PROCESS=", os.Getpid()),
		"GOPATH="+paths[0], "GOCACHE="+paths[1], "GOMODCACHE="+paths[2],
		"GORACE=atexit_sleep_ms=0", // the race detector makes each process sleep for a second at exit by default
		"PGHOST=localhost", "PGUSER=eventstore", "PGPASSWORD=secret", "PGDATABASE=postgres")
	s.write(s.state, ".curlrc", "silent\n") // as on a terminal
	s.write(s.state, ".my.cnf", "[client]\nhost=127.0.0.1\nuser=eventstore\npassword=secret\n")
}

func (s *session) write(dir, name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// here returns a text of a page with the session's directory in the place of /run/secrets.
func (s *session) here(text string) string {
	return strings.ReplaceAll(text, "/run/secrets", filepath.Join(s.state, "secrets"))
}

// command is a command where the last block left off.
func (s *session) command(text string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 3*harness.Patience) // a block has several commands
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", `if [ -f "$STATE/shell" ]; then . "$STATE/shell"; fi
`+text)
	s.t.Cleanup(cancel)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// shell runs a block where the one before it left off, and returns its output. The block's name may say that it fails, or
// that its server runs beside the one before.
func (s *session) shell(b *page.Block) string {
	s.t.Helper()
	out, err := os.Create(filepath.Join(s.state, "output")) // not a pipe, which programs in the background would keep open
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // only the shell writes to it
	beside := ""
	if b.Name == "beside" {
		beside = "yes"
	}
	cmd := s.command("export BESIDE=" + beside + `
trap 'export -p >"$STATE/shell"; echo "cd \"$PWD\"" >>"$STATE/shell"' EXIT
` + s.here(b.Text()))
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		s.t.Fatal(readErr)
	}
	var failed *exec.ExitError
	if fails := b.Name == "fails"; fails && !errors.As(err, &failed) || !fails && err != nil {
		s.t.Fatalf("%s: %v\n%s\n%s", b.Place, err, b.Text(), text)
	}
	return string(text)
}

// TestCommands runs the commands of each page in order, and compares their output with the block that follows them. In
// between, it checks the configurations, which commands may name.
func TestCommands(t *testing.T) {
	if ownNetwork != nil {
		t.Skip(ownNetwork)
	}
	for name, blocks := range pages(t) {
		t.Run(name, func(t *testing.T) {
			var s *session
			output := ""
			for _, b := range blocks {
				if !ours(b) {
					continue
				}
				if s == nil && (b.Language == "sh" || b.Language == "conf") {
					s = newSession(t, name)
				}
				switch {
				case b.Language == "sh":
					output = s.shell(b)
				case b.Language == "conf":
					s.configure(b)
				case isOutput(b, blocks) && !b.Matches(output):
					t.Errorf("%s: the page shows\n%s\nwhere the commands print\n%s", b.Place, b.Text(), output)
				}
			}
		})
	}
}

// isOutput reports whether a block shows the output of the commands before it.
func isOutput(b *page.Block, blocks []*page.Block) bool {
	if !b.Follows || b.Language != "" && b.Language != "json" && b.Language != "text" {
		return false
	}
	for i := range blocks {
		if blocks[i] == b {
			return i > 0 && blocks[i-1].Language == "sh" && ours(blocks[i-1])
		}
	}
	return false
}
