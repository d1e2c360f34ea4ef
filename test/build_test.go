package test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// -version, the first line of the log and /streaming/serverz name the version and the commit that were built.
func TestBuild(t *testing.T) {
	t.Parallel()
	const commit, date = "0123456789abcdef0123456789abcdef01234567", "2026-11-26T05:50:58Z"
	binary := filepath.Join(t.TempDir(), "nats-streaming-server")
	cmd := exec.Command("make", "-C", "..", "build", "BIN="+binary, "VERSION=1.2.3", "COMMIT="+commit, "DATE="+date)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(binary, "-version").CombinedOutput()
	first, second, _ := strings.Cut(string(out), "\n")
	if err != nil || !strings.HasPrefix(first, "nats-streaming-server version 1.2.3, nats-server: v") {
		t.Errorf("-version: %v, first line %s", err, first)
	}
	if want := "commit " + commit + " of " + date + ", go"; !strings.HasPrefix(second, want) {
		t.Errorf("-version: second line %q, want %q…", second, want)
	}
	s := prepare(t, binary, "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", databases.SQLite(t), "-m", "-1")
	s.Launch()
	s.Ready()
	line, _, _ := strings.Cut(s.Log.String(), "\n")
	if want := "Starting nats-streaming-server[test-cluster] version 1.2.3 (commit 0123456789ab of " + date + ")"; !strings.HasSuffix(line, want) {
		t.Errorf("the log begins with %q, want %q", line, want)
	}
	var server struct {
		Version    string
		GitCommit  string `json:"git_commit"`
		CommitDate string `json:"commit_date"`
	}
	body, _ := s.get("/streaming/serverz")
	if err := json.Unmarshal([]byte(body), &server); err != nil {
		t.Fatal(err)
	}
	if server.Version != "1.2.3" || server.GitCommit != commit || server.CommitDate != date {
		t.Errorf("/streaming/serverz: %+v", server)
	}
}
