package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// Kind is a kind of database server; its value is the name of the driver that
// reaches it.
type Kind string

// The kinds of servers that Start knows.
const (
	KindPostgres Kind = "postgres"
	KindMySQL    Kind = "mysql" // MariaDB where it is installed, else MySQL
)

// Durability says what a commit costs.
type Durability bool

const (
	// Fast commits reach the operating system, not the disk: they survive a
	// kill -9 of the server, but no power failure. For tests.
	Fast Durability = false
	// Durable commits are on disk, as a careful operator runs the server.
	// For benchmarks.
	Durable Durability = true
)

// startTimeout bounds the start of a server. Crash recovery is part of it.
const startTimeout = 2 * time.Minute

// stopTimeout bounds a clean stop, after which the server is killed.
const stopTimeout = 90 * time.Second

// A MissingError is returned by Start when the server is not installed.
type MissingError struct {
	Server  string // as people call it: "PostgreSQL"
	Package string // Debian's package that holds it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: apt-get install %s", e.Server, e.Package)
}

// An engine is what differs between the kinds of servers.
type engine interface {
	// initialize is the command that creates an empty server in dir.
	initialize(dir string) ([]string, error)
	// serve is the command that serves dir on a loopback port until it gets
	// the signal stop.
	serve(dir string, port int, d Durability) []string
	// user is the system account for a server that must not run as root.
	user() string
	// stop ends the server cleanly, die at once and with all its processes.
	stop() syscall.Signal
	die() syscall.Signal
	// source is the DSN of a database, connect opens it without logging.
	source(port int, database string) string
	connect(port int, database string) (*sql.DB, error)
	// directory asks a server for its own data directory.
	directory() string
	// none is a database that always exists.
	none() string
	// drop is the statement that drops a database, in use or not.
	drop(database string) string
}

// A Server is a private database server on a loopback port, in a temporary
// directory of its own. It ends with the process that started it, however that
// process ends. Its methods are called by one goroutine at a time.
type Server struct {
	engine     engine
	durability Durability
	directory  *directory
	port       int
	process    *process.Process // nil: stopped
}

// Start starts a server on a new directory. The error is a *MissingError if
// the server is not installed. Stop removes it.
func Start(kind Kind, d Durability) (*Server, error) { return startIn("", kind, d) }

func startIn(parent string, kind Kind, d Durability) (*Server, error) {
	e, err := find(kind)
	if err != nil {
		return nil, err
	}
	return startEngine(parent, kind, e, d)
}

func startEngine(parent string, kind Kind, e engine, d Durability) (*Server, error) {
	dir, err := newDirectory(parent, string(kind), e.user())
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	s := &Server{engine: e, durability: d, directory: dir}
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
	// A free port may be taken by someone else before the server listens.
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

// run starts a program in the server's directory, as its owner, and adds what
// it writes to the server's log.
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

// FreePort is a loopback port that nobody listens on at the moment, and that is
// given once. Someone may take it before the caller does, but it is none of
// those that systems give to connections, 32768 and up as a rule.
func FreePort() (int, error) {
	const first, last = 10_000, 32_767
	var err error
	for range 1000 {
		port := first + rand.N(last-first+1)
		if _, given := ports.LoadOrStore(port, true); given {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

var ports sync.Map // that FreePort gave

// Restart starts a server again that Kill or Shutdown ended, on the same
// directory and port, and returns when it accepts connections.
func (s *Server) Restart() error {
	if s.process != nil {
		return errors.New("database server is running")
	}
	argv := s.engine.serve(s.directory.path, s.port, s.durability)
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

// ready returns when p, and no other server on the same port, answers.
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
			return errors.New("ended before it accepted connections")
		case <-ctx.Done():
			return fmt.Errorf("accepts no connections after %v: %w", startTimeout, err)
		case <-tick.C:
		}
	}
}

// log is the end of what the server wrote.
func (s *Server) log() string {
	b, _ := os.ReadFile(s.directory.log())
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return string(b)
}

// DSN is the source of a database for the driver of the server's kind, whether
// the database exists or not.
func (s *Server) DSN(database string) string { return s.engine.source(s.port, database) }

// CreateDatabase creates an empty database. The name is a plain identifier in
// lower case.
func (s *Server) CreateDatabase(name string) error {
	return s.exec("CREATE DATABASE " + name)
}

// DropDatabase drops a database and the connections to it.
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

// Shutdown ends the server cleanly. Restart starts it again.
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

// Kill ends every process of the server by kill -9, as a crash does. Restart
// starts it again.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Kill()
	s.process = nil
	return err
}

// Pause stops every process of the server, which neither answers nor ends a
// connection until Resume.
func (s *Server) Pause() error { return s.process.Pause() }

// Resume has a server that Pause stopped go on.
func (s *Server) Resume() error { return s.process.Resume() }

// Stop ends the server at once and removes its directory. The server cannot be
// started again.
func (s *Server) Stop() error {
	if s.process != nil {
		s.process.Signal(s.engine.die())
		<-s.process.Done()
		s.process = nil
	}
	return s.directory.remove()
}
