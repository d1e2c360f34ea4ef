package bank

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// The databases of the event store, of the service's views, and of views that are built anew at the end.
const eventsDatabase, viewsDatabase, rebuiltDatabase = "events", "views", "rebuilt"

// system is a service with its event store and their database server.
type system struct {
	t                 *testing.T
	program           string // the service
	database          *databases.Server
	events            *harness.Server
	bank              *running
	apiPort, bankPort int
}

// running is a process of the service.
type running struct {
	process *process.Process
	log     *harness.Log
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bank")
	cmd := exec.Command("go", "build", "-o", program, "../../examples/bank")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func port(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func address(port int) string           { return fmt.Sprintf("127.0.0.1:%d", port) }
func (s *system) url() string           { return "http://" + address(s.bankPort) }
func (s *system) views(n string) string { return s.database.DSN(n) }

// launch starts the service on a database of views.
func (s *system) launch(views string, port int) *running {
	s.t.Helper()
	r := &running{log: harness.NewLog()}
	cmd := exec.Command(s.program, "-listen", address(port), "-events", "http://"+address(s.apiPort), "-driver", "postgres", "-source", s.views(views))
	cmd.Stderr, cmd.Dir, cmd.Env = r.log, s.t.TempDir(), os.Environ()
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		s.t.Fatal(err)
	}
	r.process = p
	s.t.Cleanup(func() {
		r.kill()
		if s.t.Failed() {
			s.t.Logf("log of the service on %s:\n%s", views, r.log)
		}
	})
	return r
}

func (r *running) kill() {
	r.process.Signal(syscall.SIGKILL)
	<-r.process.Done()
}

func (s *system) killBank() {
	s.t.Log("kill the service")
	s.bank.kill()
	s.bank = s.launch(viewsDatabase, s.bankPort)
}

func (s *system) killEvents() {
	s.t.Log("kill the event store")
	s.events.Kill()
	s.events.Restart()
}

func (s *system) killDatabase() {
	s.t.Log("kill the database")
	if err := s.database.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.database.Restart(); err != nil {
		s.t.Fatal(err)
	}
}

// openAccounts opens all accounts, and puts money into them.
func (s *system) openAccounts() {
	s.t.Helper()
	c := &client{bank: s.url(), name: "setup"}
	for i := range accounts {
		for _, it := range [][2]string{{"", `{"owner": "Ada"}`}, {"/deposits", fmt.Sprintf(`{"cents": %d}`, deposit)}} {
			if status := c.call(s.t, "/accounts/"+account(i)+it[0], fmt.Sprint("setup-", i, it[0]), it[1]); status != http.StatusOK {
				s.t.Fatalf("set account %d up: %d", i, status)
			}
		}
	}
}

func account(i int) string { return fmt.Sprint("account-", i) }

// patience bounds each wait.
const patience = harness.Patience

var httpClient = &http.Client{Timeout: 15 * time.Second}
