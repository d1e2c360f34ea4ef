package personal_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// rewritten shows that the database's owner, who changes another event together with its column, is found by the chain, which the erasure
// has left whole.
func (s *show) rewritten(t *testing.T) {
	t.Helper()
	if status, out := s.chain(t); status != 0 || !strings.Contains(out, "3 of them with erased contents") {
		t.Errorf("the chain after the erasure: status %d\n%s", status, out)
	}
	db, err := sql.Open(s.driver, s.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	update := "UPDATE Messages SET data = ?, event_data = ? WHERE event_id = 'v1'"
	switch s.driver {
	case "postgres":
		exec("ALTER TABLE Messages DISABLE TRIGGER USER")
		update = "UPDATE Messages SET data = $1, event_data = $2 WHERE event_id = 'v1'"
	default:
		exec("DROP TRIGGER events_are_immutable_update")
	}
	var data, document []byte
	if err := db.QueryRowContext(t.Context(), "SELECT data, event_data FROM Messages WHERE event_id = 'v1'").Scan(&data, &document); err != nil {
		t.Fatal(err)
	}
	was, now := []byte("Bartholomew v1"), []byte("Bartholomea v1")
	if !bytes.Contains(data, was) || !bytes.Contains(document, was) {
		t.Fatalf("the event is %q with %q", data, document)
	}
	exec(update, bytes.Replace(data, was, now, 1), string(bytes.Replace(document, was, now, 1)))
	status, out := s.chain(t)
	if status != 8 || !strings.Contains(out, `position 1, channel "open.visits", sequence 1: its hash does not follow`) {
		t.Errorf("a changed event: status %d\n%s", status, out)
	}
	_, finding, _ := strings.Cut(out, "FINDING ")
	finding, _, _ = strings.Cut(finding, "\n")
	s.note("the owner changed another event and its column; eventstore verify --chain: %s", finding)
}

// chain checks the chain, and returns the exit status and what is printed.
func (s *show) chain(t *testing.T) (status int, out string) {
	t.Helper()
	cmd := exec.CommandContext(patient(t), harness.Tool(t), "verify", "--driver", s.driver, "--dsn", s.source, "--chain")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "HOME="+t.TempDir())
	printed, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(printed)
}
