package databases

import (
	"cmp"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	_ "github.com/lib/pq" // driver "postgres"
)

// postgres is the directory with PostgreSQL's programs.
type postgres struct{ bin string }

var _ engine = postgres{}

// postgresEnv names the directory of the programs of another release.
const postgresEnv = "NATS_EVENTSTORE_TEST_POSTGRES"

func findPostgres() (engine, error) {
	if bin := os.Getenv(postgresEnv); bin != "" {
		return postgres{bin}, nil
	}
	// Debian keeps initdb outside PATH, in one directory per version.
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(release(b), release(a)) })
	for _, dir := range dirs {
		if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err == nil {
			return postgres{dir}, nil
		}
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return postgres{filepath.Dir(initdb)}, nil
	}
	return nil, &MissingError{Server: "PostgreSQL", Package: "postgresql"}
}

// release returns the version in a path /usr/lib/postgresql/<version>/bin.
func release(dir string) float64 {
	v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
	return v
}

func (p postgres) initialize(dir string) ([]string, error) {
	return []string{filepath.Join(p.bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", account,
		"-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}, nil
}

func (p postgres) serve(dir string, port int, d Durability) []string {
	args := []string{filepath.Join(p.bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", // the path of a socket is too long in many temporary directories
		"-c", "max_connections=200",
		"-c", "max_wal_size=2GB",
		"-c", "synchronous_commit=on",
	}
	if d == Durable {
		return append(args, "-c", "fsync=on", "-c", "full_page_writes=on", "-c", "shared_buffers=256MB")
	}
	return append(args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB")
}

func (postgres) user() string { return "postgres" }

func (postgres) stop() syscall.Signal { return syscall.SIGINT } // fast shutdown: disconnects clients
func (postgres) die() syscall.Signal  { return syscall.SIGQUIT }

func (postgres) source(port int, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", account, password, port, database)
}

func (p postgres) connect(port int, database string) (*sql.DB, error) {
	return sql.Open("postgres", p.source(port, database))
}

func (postgres) directory() string { return "SHOW data_directory" }
func (postgres) none() string      { return "postgres" }

func (postgres) drop(database string) string {
	return "DROP DATABASE IF EXISTS " + database + " WITH (FORCE)"
}
