// Command bank is a service on the event store: accounts, transfers, statements, and a look-out for fraud. docs/tutorial.md builds it step by
// step.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/lib/pq"  // driver "postgres"
	_ "modernc.org/sqlite" // driver "sqlite"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` of the service")
	urls := flag.String("events", "http://127.0.0.1:4280", "`URLs` of the event store's API, separated by commas")
	driver := flag.String("driver", "sqlite", "database of the views: sqlite or postgres")
	source := flag.String("source", "file:bank.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)", "data source `name` of that database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := eventstore.New(eventstore.Options{URLs: strings.Split(*urls, ","), Token: os.Getenv("BANK_TOKEN")})
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open(*driver, *source)
	if err != nil {
		log.Fatal(err)
	}
	dialect, err := eventstore.ParseDialect(*driver)
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, *listen, client, db, dialect); err != nil {
		log.Fatal(err)
	}
}

// serve runs the service until ctx ends, or the views no longer follow from the log.
func serve(ctx context.Context, listen string, client *eventstore.Client, db *sql.DB, dialect eventstore.Dialect) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	views, err := NewViews(ctx, client, db, dialect)
	if err != nil {
		return err
	}
	bank := NewBank(client)
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: Handler(bank, views), ReadHeaderTimeout: patience}
	var running sync.WaitGroup
	running.Go(func() { stop(server.Serve(listener)) })
	for _, run := range workers(client, bank, views) {
		running.Go(func() { stop(again(ctx, run)) })
	}
	log.Printf("the bank listens on http://%s", listener.Addr())
	<-ctx.Done()
	_ = server.Shutdown(context.WithoutCancel(ctx))
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// workers are what runs beside the requests.
func workers(client *eventstore.Client, bank *Bank, views *Views) []func(context.Context) error {
	return []func(context.Context) error{
		views.balances.Run,
		views.statements.Run,
		func(ctx context.Context) error { return Fraud(bank, views).Run(ctx, client.SourceAll(sent)) },
	}
}

// again runs a worker until ctx ends, and again after an outage. A gap does not pass by waiting: the log was restored from a backup.
func again(ctx context.Context, run func(context.Context) error) error {
	for {
		err := run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, eventstore.ErrGap):
			return fmt.Errorf("%w: see docs/operate/backup.md", err)
		}
		log.Print(err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
