package stage

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite" // the read models' database

	"github.com/nats-eventstore/nats-eventstore/client"
)

// Main is the main function of an example. It calls run with the server binary from -server, empty by default.
func Main(name string, run func(ctx context.Context, binary string, out io.Writer) error) {
	server := flag.String("server", "", "nats-streaming-server to start; built from this module if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *server, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(name, ": ", err)
	}
}

// Play starts a server, calls tell, and stops everything that was started.
func Play(ctx context.Context, binary string, out io.Writer, configuration string, tell func(*Story, *Server, *eventstore.Client) error, args ...string) error {
	server, err := Serve(ctx, binary, configuration, args...)
	if err != nil {
		return err
	}
	client, err := eventstore.New(eventstore.Options{URLs: []string{server.API}})
	if err != nil {
		return errors.Join(err, server.Stop())
	}
	story := NewStory(ctx, out)
	err = tell(story, server, client)
	if failed := story.End(); failed != nil {
		err = failed // the failed service is the cause of tell's error
	}
	client.Close()
	return errors.Join(err, server.Stop())
}

// ReadModel opens an SQLite database beside the server's data and executes the statements that create its tables. Stop
// closes it.
func (s *Server) ReadModel(ctx context.Context, statements ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "view.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	s.readModels = append(s.readModels, db)
	for _, text := range statements {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, fmt.Errorf("create the read model: %w", err)
		}
	}
	return db, nil
}

// WaitForStream waits until the server has created a stream.
func (s *Server) WaitForStream(story *Story, name string) error {
	nc, err := nats.Connect(s.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return story.Wait("the server has created the stream "+name, func(ctx context.Context) (bool, error) {
		_, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}
