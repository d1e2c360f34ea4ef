// Command bank is a service on the event store: accounts, transfers, statements, and a look-out for fraud. docs/start/tutorial.md builds it step
// by step.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"log"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` of the service")
	urls := flag.String("events", "http://127.0.0.1:4280", "`URLs` of the event store's API, separated by commas")
	driver := flag.String("driver", "sqlite", "kind of the `database` of the views: sqlite or postgres")
	source := flag.String("source", "file:bank.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)", "data source `name` of that database")
	flag.Parse()
	dialect, badDriver := eventstore.ParseDialect(*driver)
	db, badSource := sql.Open(*driver, *source)
	client, badURL := eventstore.New(eventstore.Options{URLs: strings.Split(*urls, ","), Token: os.Getenv("BANK_TOKEN")})
	if err := errors.Join(badDriver, badSource, badURL); err != nil {
		return err
	}
	views, err := NewViews(ctx, client, db, dialect)
	if err != nil {
		return err
	}
	bank := NewBank(client)
	ctx, end := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	for _, work := range workers(client, bank, views) {
		running.Go(func() { end(again(ctx, work)) })
	}
	server := &http.Server{Addr: *listen, Handler: Handler(bank, views), ReadHeaderTimeout: patience}
	running.Go(func() { end(server.ListenAndServe()) })
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
		func(ctx context.Context) error { return bank.Fraud(views).Run(ctx, client.SourceAll(sent)) },
	}
}

// again runs work until ctx ends, and again after an outage. A gap does not pass: the event store was restored from a backup.
func again(ctx context.Context, work func(context.Context) error) error {
	for {
		err := work(ctx)
		if ctx.Err() != nil || errors.Is(err, eventstore.ErrGap) {
			return err
		}
		log.Print(err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
