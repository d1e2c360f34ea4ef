package databases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// pgbouncer is a pooler before a PostgreSQL server.
type pgbouncer struct {
	postgres
	program string
	server  int    // port of the server
	mode    string // pool_mode
	dir     string
}

func (p *pgbouncer) initialize(dir string) ([]string, error) {
	p.dir = dir
	return []string{"mkdir", filepath.Join(dir, "data")}, nil
}

func (p *pgbouncer) serve(dir string, port int, _ Durability) []string {
	settings := []string{"[databases]", fmt.Sprintf("* = host=127.0.0.1 port=%d user=%s", p.server, account), "[pgbouncer]",
		"listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", port), "unix_socket_dir =", "auth_type = any",
		"pool_mode = " + p.mode, "ignore_startup_parameters = extra_float_digits", "max_client_conn = 200"}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o644); err != nil {
		return []string{"false"} // ends at once
	}
	return []string{p.program, file}
}

func (*pgbouncer) stop() syscall.Signal { return syscall.SIGINT }

func (p *pgbouncer) directory() string { return "SELECT '" + p.dir + "'" }

// PgBouncer starts a pooler before a PostgreSQL server, with a pool_mode. It is stopped when the test ends.
func PgBouncer(t testing.TB, to *Server, mode string) *Server {
	t.Helper()
	program := look("pgbouncer")
	if program == "" {
		required(t)(nil, &MissingError{Server: "PgBouncer", Package: "pgbouncer"})
	}
	s := required(t)(startEngine("", KindPostgres, &pgbouncer{postgres: to.engine.(postgres), program: program, server: to.port, mode: mode}, Fast, 0))
	stopAtEnd(t, s)
	return s
}
