package personal_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// openFolder returns a folder that other accounts can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for f := folder; f != os.TempDir() && len(f) > 1; f = filepath.Dir(f) {
		if err := os.Chmod(f, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// searched returns the files below a folder that name the person, by their names.
func searched(t *testing.T, folder string) map[string]found {
	t.Helper()
	all := map[string]found{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a running database removes files
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if f := foundIn(string(content)); f != (found{}) {
			all[filepath.Base(path)] = f
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// logs are what the page leaves to time: logs that are overwritten as others write.
var logs = map[string]*regexp.Regexp{
	"sqlite":   regexp.MustCompile(`^$`),
	"postgres": regexp.MustCompile(`^[0-9A-F]{24}$`), // segments of the WAL
	"mysql":    regexp.MustCompile(`^ib_logfile\d+$`),
}

// files searches the files of the stopped server and of its database: at once, and after the step that docs/operate/erasure.md names for
// what the database has freed.
func (s *show) files(t *testing.T) {
	t.Helper()
	for what, folder := range map[string]string{"files of JetStream": s.stream, "files of the server": s.Dir} {
		if found := searched(t, folder); len(found) > 0 {
			t.Errorf("%s: %v", what, found)
		}
		s.note("%-48s nothing", what)
	}
	for line := range strings.Lines(s.Log.String()) {
		// The reason of a consumer, which the page tells of.
		if foundIn(line) != (found{}) && !strings.Contains(line, "taken out of the way") {
			t.Errorf("the server's log: %s", line)
		}
	}
	s.note("%-48s %v, in reasons of parked messages", "the server's log", foundIn(s.Log.String()))
	s.shutdown(t)
	atOnce := searched(t, s.folder)
	for name, f := range atOnce {
		if f.last {
			t.Errorf("%s has had what was encrypted", name)
		}
	}
	s.note("%-48s %s", "files of the database, at once", listed(atOnce))
	step := s.clean(t)
	s.shutdown(t)
	left := searched(t, s.folder)
	for name := range left {
		if !logs[s.driver].MatchString(name) {
			t.Errorf("%s still names the person after %s: %v", name, step, left)
		}
	}
	s.note("%-48s %s", "files of the database, after "+step, listed(left))
	if *overwrite && s.own != nil {
		mib := s.overwriteLogs(t)
		s.shutdown(t)
		if left := searched(t, s.folder); len(left) > 0 {
			t.Errorf("after others wrote: %v", left)
		}
		s.note("%-48s nothing", fmt.Sprintf("files of the database, after others wrote %d MiB", mib))
	}
	if s.own != nil {
		if err := s.own.Restart(); err != nil {
			t.Fatal(err)
		}
	}
}

func listed(files map[string]found) string {
	if len(files) == 0 {
		return "nothing"
	}
	var all []string
	for name, f := range files {
		all = append(all, fmt.Sprintf("%v in %s", f, name))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (s *show) shutdown(t *testing.T) {
	t.Helper()
	if s.own != nil {
		if err := s.own.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
}

// clean takes the step of the page, and returns it.
func (s *show) clean(t *testing.T) string {
	t.Helper()
	statement := map[string]string{
		"sqlite": "VACUUM", "postgres": "VACUUM FULL Messages, EventTags, ErasedMessages, Parked", "mysql": "OPTIMIZE TABLE Messages, EventTags, ErasedMessages, Parked",
	}[s.driver]
	text, err := os.ReadFile(filepath.Join(page.Root(), "docs/operate/erasure.md"))
	if err != nil || !strings.Contains(string(text), statement) {
		t.Fatalf("the page does not say %s: %v", statement, err)
	}
	if s.own != nil {
		if err := s.own.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open(s.driver, s.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range append([]string{statement}, map[string][]string{"postgres": {"CHECKPOINT"}}[s.driver]...) {
		if _, err := db.ExecContext(patient(t), text); err != nil {
			t.Fatal(err)
		}
	}
	name, _, _ := strings.Cut(statement, " Messages")
	return name
}

// overwriteLogs has others write until the logs name nobody, and returns how much that was.
func (s *show) overwriteLogs(t *testing.T) (mib int) {
	t.Helper()
	if err := s.own.Restart(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(s.driver, s.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := func(text string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(patient(t), text, args...); err != nil {
			t.Fatal(err)
		}
	}
	blob := map[string]string{"postgres": "BYTEA", "mysql": "LONGBLOB"}[s.driver]
	run("CREATE TABLE filler (data " + blob + ")")
	statement := map[string]string{"postgres": "INSERT INTO filler VALUES ($1)", "mysql": "INSERT INTO filler VALUES (?)"}[s.driver]
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	for len(searched(t, s.folder)) > 0 {
		for range 8 {
			run(statement, noise)
		}
		if mib += 8; mib > 4096 {
			t.Fatal("the log still names the person")
		}
		if s.driver == "postgres" {
			run("CHECKPOINT")
		}
	}
	run("DROP TABLE filler")
	return mib
}
