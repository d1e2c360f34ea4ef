package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// Kind is a kind of database server. Its value is the name of its driver.
type Kind string

// The kinds of servers that Start supports.
const (
	KindPostgres Kind = "postgres"
	KindMySQL    Kind = "mysql" // MariaDB if it is installed, otherwise MySQL
)

// Durability is what a commit guarantees.
type Durability bool

const (
	// Fast commits reach the operating system but not the disk. They survive a kill -9 of the server but not a power
	// failure. Use it for tests.
	Fast Durability = false
	// Durable commits reach the disk, as in production. Use it for benchmarks.
	Durable Durability = true
)

// startTimeout bounds the start of a server, including crash recovery.
const startTimeout = 2 * time.Minute

// stopTimeout bounds a clean stop. After it, the server is killed.
const stopTimeout = 90 * time.Second

// A MissingError means that the server is not installed.
type MissingError struct {
	Server  string // its usual name: "PostgreSQL"
	Package string // the Debian package that contains it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: apt-get install %s", e.Server, e.Package)
}

// An engine provides what differs between the kinds of servers.
type engine interface {
	// initialize returns the command that creates an empty server in dir.
	initialize(dir string) ([]string, error)
	// serve returns the command that serves dir on a loopback port until the signal stop.
	serve(dir string, port int, d Durability) []string
	// tls returns further arguments of that command, for a server with a certificate.
	tls(cert, key string) []string
	// user is the system account for servers that refuse to run as root.
	user() string
	// stop ends the server cleanly; die ends it and all its processes at once.
	stop() syscall.Signal
	die() syscall.Signal
	// source returns the DSN of a database. connect opens it without logging.
	source(port int, database string) string
	connect(port int, database string) (*sql.DB, error)
	// directory is the query for the server's data directory.
	directory() string
	// none is a database that always exists.
	none() string
	// drop returns the statement that drops a database, even one in use.
	drop(database string) string
}

// A Server is a private database server on a loopback port, in a temporary directory. It ends with the process that
// started it, however that process ends. One goroutine at a time may call its methods.
type Server struct {
	engine     engine
	durability Durability
	directory  *directory
	port       int
	more       []string         // further arguments
	process    *process.Process // nil if stopped
}

// Start starts a server in a new directory, which Stop removes. The error is a *MissingError if the server is not
// installed.
func Start(kind Kind, d Durability) (*Server, error) { return startIn("", kind, d, 0) }

// startIn starts a server on a port, or on a free one if port is 0.
func startIn(parent string, kind Kind, d Durability, port int, arguments ...string) (*Server, error) {
	e, err := find(kind)
	if err != nil {
		return nil, err
	}
	return startEngine(parent, kind, e, d, port, arguments...)
}

func startEngine(parent string, kind Kind, e engine, d Durability, port int, arguments ...string) (*Server, error) {
	dir, err := newDirectory(parent, string(kind), e.user())
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	s := &Server{engine: e, durability: d, directory: dir, port: port, more: arguments}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, errors.Join(err, dir.remove()))
	}
	return s, nil
}

func find(kind Kind) (engine, error) {
	switch kind {
	case KindPostgres:
		return findPostgres()
	case KindMySQL:
		return findMySQL()
	}
	return nil, fmt.Errorf("unknown kind of database server %q", kind)
}

func (s *Server) create() error {
	argv, err := s.engine.initialize(s.directory.path)
	if err != nil {
		return err
	}
	p, err := s.run(argv, syscall.SIGKILL)
	if err != nil {
		return err
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(argv[0]), err, s.log())
	}
	if s.port != 0 {
		return s.Restart()
	}
	// Another process may take the free port before the server listens: try again with another one.
	for range 5 {
		if s.port, err = FreePort(); err != nil {
			return err
		}
		if err = s.Restart(); err == nil {
			return nil
		}
	}
	return err
}

// run starts a program in the server's directory, as its owner, and appends its output to the server's log.
func (s *Server) run(argv []string, die syscall.Signal) (*process.Process, error) {
	log, err := os.OpenFile(s.directory.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // only the program writes to it
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.directory.path
	cmd.Stdout, cmd.Stderr = log, log
	return process.Start(cmd, s.directory.owner, die)
}

// Restart restarts a server after Kill or Shutdown, on the same directory and port. It returns when the server accepts
// connections.
func (s *Server) Restart() error {
	if s.process != nil {
		return errors.New("database server is running")
	}
	argv := append(s.engine.serve(s.directory.path, s.port, s.durability), s.more...)
	p, err := s.run(argv, s.engine.die())
	if err != nil {
		return err
	}
	if err := s.ready(p); err != nil {
		p.Signal(s.engine.die())
		<-p.Done()
		return fmt.Errorf("%s: %w\n%s", filepath.Base(argv[0]), err, s.log())
	}
	s.process = p
	return nil
}

// ready returns when process p answers on the port, and not another server.
func (s *Server) ready(p *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	db, err := s.engine.connect(s.port, s.engine.none())
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var dir string
		err := db.QueryRowContext(ctx, s.engine.directory()).Scan(&dir)
		if err == nil && strings.HasPrefix(dir, s.directory.path) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("port %d belongs to a server in %s", s.port, dir)
		}
		select {
		case <-p.Done():
			return errors.New("the server ended before it accepted connections")
		case <-ctx.Done():
			return fmt.Errorf("accepts no connections after %v: %w", startTimeout, err)
		case <-tick.C:
		}
	}
}

// log returns the end of the server's log.
func (s *Server) log() string {
	b, _ := os.ReadFile(s.directory.log())
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return string(b)
}

// DSN returns the DSN of a database, which need not exist, for the server's driver.
func (s *Server) DSN(database string) string { return s.engine.source(s.port, database) }

// CreateDatabase creates an empty database. The name must be a plain lower-case identifier.
func (s *Server) CreateDatabase(name string) error {
	return s.exec("CREATE DATABASE " + name)
}

// DropDatabase drops a database and disconnects its clients.
func (s *Server) DropDatabase(name string) error {
	return s.exec(s.engine.drop(name))
}

func (s *Server) exec(statement string) error {
	db, err := s.engine.connect(s.port, s.engine.none())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// Shutdown stops the server cleanly. Restart starts it again.
func (s *Server) Shutdown() error {
	if s.process == nil {
		return nil
	}
	s.process.Signal(s.engine.stop())
	select {
	case <-s.process.Done():
		s.process = nil
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("still running %v after the signal to stop", stopTimeout), s.Kill())
	}
}

// Kill ends all processes of the server with kill -9, like a crash. Restart starts it again.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Kill()
	s.process = nil
	return err
}

// Pause stops all processes of the server. Until Resume, it neither answers nor closes a connection.
func (s *Server) Pause() error { return s.process.Pause() }

// Resume continues a paused server.
func (s *Server) Resume() error { return s.process.Resume() }

// Stop ends the server at once and removes its directory. The server cannot be restarted.
func (s *Server) Stop() error {
	if s.process != nil {
		s.process.Signal(s.engine.die())
		<-s.process.Done()
		s.process = nil
	}
	return s.directory.remove()
}
