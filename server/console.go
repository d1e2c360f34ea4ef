package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/console"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
	"github.com/nats-eventstore/nats-eventstore/stores/ask"
)

// newConsole has the API serve the console, if it is to be. run returns when ctx ends.
func (s *server) newConsole(o *api.Options) (run func(ctx context.Context)) {
	if !s.opts.ServesConsole() {
		return func(context.Context) {}
	}
	options := console.Options{
		About: console.About{
			ClusterID: s.opts.ClusterID, ServerID: s.id, Version: config.CurrentBuild().Version, Store: s.opts.StoreType, Database: s.opts.Store.Driver,
			Servers: s.opts.ConsoleServers,
		},
		Monitor:  s.monitor,
		Settings: s.settings,
		Verify:   offline.Checker(*s.opts, verifyFindings),
		Log:      s.log,
	}
	options.Types, options.PayloadType = s.messageTypes()
	if options.AskOff = s.asksNot(); options.AskOff == "" {
		options.Ask = s.ask
	}
	c := console.New(options)
	o.Console = func(a api.Inside) http.Handler { return c.Handler(a) }
	return c.Run
}

// messageTypes returns the message types that the configuration knows, and which of them a channel's messages have.
func (s *server) messageTypes() (*proto.Decoder, func(channel string) string) {
	var files []string
	for _, b := range s.opts.Events {
		if file := b.Payload.DescriptorSet; file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	types, err := proto.NewDecoder(files...)
	if err != nil {
		s.log.Warn("The console shows protobuf by field numbers, since it cannot read the descriptor sets", "error", err)
	}
	events, err := eventlog.NewEvents(s.opts.Events)
	if err != nil {
		s.log.Warn("The console does not know the messages of channels", "error", err)
	}
	return types, func(channel string) string {
		if b := events.Of(channel); b != nil {
			return b.Payload.Message
		}
		return ""
	}
}

// background runs what has nothing to wait for, until stop is called, which waits for it.
func background(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// verifyFindings is how many findings of a kind the console lists.
const verifyFindings = 20

// settings are those that count now, without secrets.
func (s *server) settings() console.Settings {
	now := console.Settings{Given: s.opts.Shown}
	if shown := s.shown.Load(); shown != nil { // a reload
		now.Given = *shown
	}
	for _, line := range s.opts.Describe() {
		if strings.HasPrefix(line, "Route") {
			now.Routes = append(now.Routes, line)
		} else {
			now.Channels = append(now.Channels, line)
		}
	}
	return now
}

// Bounds of a question in SQL.
const (
	askTimeout = 5 * time.Second
	askRows    = 500
	askBytes   = 2 << 10
)

// inMemory reports whether the store is in the server's memory.
func (s *server) inMemory() bool {
	return s.opts.Store.Driver == "sqlite" && s.opts.Store.Source == ":memory:"
}

// asksNot says why the console cannot ask the database; "" if it can.
func (s *server) asksNot() string {
	o := &s.opts.Store
	switch {
	case s.inMemory():
		return "The store is in the memory of the server, where no other connection reads it."
	case o.Driver != "sqlite" && s.opts.ConsoleSource == "":
		return "Questions need a database role that only reads, since the server's own can do more. Create the analyst's role, and name it with console_sql_source."
	}
	return ""
}

// ask asks the database a question.
func (s *server) ask(ctx context.Context, statement string) (*ask.Answer, error) {
	o := ask.Options{Driver: s.opts.Store.Driver, Source: s.opts.ConsoleSource, Timeout: askTimeout, Rows: askRows, Bytes: askBytes}
	if o.Driver == "sqlite" {
		o.Source = s.opts.Store.Source
	}
	return ask.Ask(ctx, o, statement)
}
