package databases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Archive makes a PostgreSQL server archive its log by a configuration, in which the archive is /archive. It returns the
// directory of the archive.
func (s *Server) Archive(configuration string) (string, error) {
	archive := filepath.Join(s.directory.path, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		return "", err
	}
	if owner := s.directory.owner; owner != nil {
		if err := os.Chown(archive, int(owner.UID), int(owner.GID)); err != nil {
			return "", err
		}
	}
	var arguments []string
	for line := range strings.Lines(configuration) {
		name, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(line), "/archive", archive), " = ")
		arguments = append(arguments, "-c", name+"="+strings.Trim(value, "'"))
	}
	return archive, s.Restarted(arguments...)
}

// recovered is a PostgreSQL server that a script prepares in $DATA from a backup.
type recovered struct {
	postgres
	script string
	env    []string
}

func (r recovered) initialize(dir string) ([]string, error) {
	text := "DATA='" + filepath.Join(dir, "data") + "'\n"
	for _, variable := range r.env {
		name, value, _ := strings.Cut(variable, "=")
		text += name + "='" + value + "'\n"
	}
	return []string{"sh", "-e", "-c", text + r.script}, nil
}

// Recovered stops a server after it has archived its log, and starts another that a script prepares in $DATA. The server's
// account must be able to read the backup.
func Recovered(t testing.TB, of *Server, script string, env ...string) *Server {
	t.Helper()
	if err := of.Shutdown(); err != nil { // archives what is left
		t.Fatal(err)
	}
	s := required(t)(startEngine("", KindPostgres, recovered{of.engine.(postgres), script, env}, Fast, 0))
	stopAtEnd(t, s)
	return s
}
