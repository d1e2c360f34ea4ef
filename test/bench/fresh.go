package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A freshServer is our server on a database of its own, with its API. It runs while a step needs it.
type freshServer struct {
	*streaming
	setup *setup
	dir   string
	kind  string // of database
	// source of the database. That of SQLite is there once the server has run.
	source string
	args   []string // without those of a step
	api    string   // URL
}

// fresh prepares our server on an empty database.
func (s *setup) fresh(database, name string) (*freshServer, error) {
	dir, err := os.MkdirTemp(s.dir, name+"-")
	if err != nil {
		return nil, err
	}
	f := &freshServer{setup: s, dir: dir, kind: database, source: "file:" + filepath.Join(dir, "eventstore.db"), args: []string{"-store", "FILE", "-dir", dir}}
	if database != "sqlite" {
		if f.source, err = s.database(database, filepath.Base(dir)); err != nil {
			return nil, err
		}
		f.args = append(f.args[2:], "-store", "SQL", "-sql_driver", database, "-sql_source", f.source)
	}
	return f, nil
}

// run starts the server with a configuration, "" for none, and stops it after do.
func (f *freshServer) run(ctx context.Context, config string, do func() error) (err error) {
	binary, err := f.setup.binaryOf(ctx, ours)
	if err != nil {
		return err
	}
	port, err := databases.FreePort()
	if err != nil {
		return err
	}
	args := append(slices.Clip(f.args), "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(port))
	if config != "" {
		file := filepath.Join(f.dir, "server.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		args = append(args, "-c", file)
	}
	p, err := f.setup.begin(ctx, ours, readyLine, streamingCommand(binary, args))
	if err != nil {
		return err
	}
	f.streaming, f.api = newStreaming(p, f.setup.options), fmt.Sprintf("http://127.0.0.1:%d", port)
	return errors.Join(do(), p.Stop())
}

// eventStore is a gRPC client of a server's API, on one connection.
func eventStore(url string) eventstorev1connect.EventStoreClient {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: &http.Transport{Protocols: protocols}}, url, connect.WithGRPC())
}
