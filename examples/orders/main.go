// Command orders publishes events of orders with stan.go, tails them and replays
// them from any sequence. Copy from it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go"
)

// channel is an event channel because its name matches the server's default
// pattern eventstore.>. Every message on it must be an event.
const channel = "eventstore.orders"

const usage = `usage: orders <command> [flags]

  publish   publish the events of new orders
  tail      print events as they are published
  replay    print stored events from a sequence up to the latest

orders <command> -h lists the flags of a command.
`

// errUsage is a usage error that is already on standard error.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 success, 1 failure, 2 usage error.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	say := log.New(stderr, "orders: ", 0)
	if len(args) == 0 {
		say.Print("name a command\n", usage)
		return 2
	}
	commands := map[string]func(context.Context, []string, *bufio.Writer, *log.Logger) error{
		"publish": publishCommand,
		"tail":    tailCommand,
		"replay":  replayCommand,
	}
	for _, help := range []string{"help", "-h", "-help", "--help"} {
		commands[help] = helpCommand
	}
	command, ok := commands[args[0]]
	if !ok {
		say.Printf("unknown command %q\n%s", args[0], usage)
		return 2
	}
	out := bufio.NewWriter(stdout)
	err := command(ctx, args[1:], out, say)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	say.Print(err)
	return 1
}

func helpCommand(_ context.Context, _ []string, out *bufio.Writer, _ *log.Logger) error {
	_, err := out.WriteString(usage)
	return err
}

// connection holds the flags that all commands share.
type connection struct{ server, cluster, client string }

func (c *connection) flags(fs *flag.FlagSet, client string) {
	fs.StringVar(&c.server, "server", stan.DefaultNatsURL, "`URL` of the server")
	fs.StringVar(&c.cluster, "cluster", "test-cluster", "cluster `ID` of the server")
	fs.StringVar(&c.client, "client", client, "client `ID`, unique among running programs")
}

// parse prints usage errors itself and returns errUsage.
func parse(fs *flag.FlagSet, args []string, say *log.Logger) error {
	fs.SetOutput(say.Writer())
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if fs.NArg() > 0 {
		return wrongUsage(fs, say, "unexpected argument %q", fs.Arg(0))
	}
	return nil
}

func wrongUsage(fs *flag.FlagSet, say *log.Logger, format string, args ...any) error {
	say.Printf(format, args...)
	fs.Usage()
	return errUsage
}

// connect opens the connection. The returned context ends when the connection is
// lost for good; its cause is the reason.
func (c *connection) connect(ctx context.Context, options ...stan.Option) (context.Context, stan.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	options = append(options,
		stan.NatsURL(c.server),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
			cancel(fmt.Errorf("connection lost: %w", err))
		}))
	sc, err := stan.Connect(c.cluster, c.client, options...)
	if err != nil {
		cancel(err)
		return nil, nil, fmt.Errorf("connect to %s as %q: %w", redact(c.server), c.client, err)
	}
	return ctx, sc, nil
}

// closeAfter closes the connection after a command and returns the command's error
// or, if it has none, that of closing.
func closeAfter(sc stan.Conn, err error) error {
	if e := sc.Close(); e != nil && err == nil {
		return fmt.Errorf("close the connection: %w", e)
	}
	return err
}

// interrupted returns the error of an ended context, nil if the user ended it.
func interrupted(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// redact hides passwords in a comma-separated list of server URLs.
func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil {
			list[i] = u.Redacted()
		} else {
			list[i] = "(unreadable URL)"
		}
	}
	return strings.Join(list, ",")
}

// uniqueClientID returns a client ID that no other run uses: the server accepts
// only one client with an ID at a time.
func uniqueClientID(command string) string { return "orders-" + command + "-" + nuid.Next() }

func publishCommand(ctx context.Context, args []string, _ *bufio.Writer, say *log.Logger) error {
	var c connection
	var p publisher
	fs := flag.NewFlagSet("orders publish", flag.ContinueOnError)
	c.flags(fs, uniqueClientID("publish"))
	fs.IntVar(&p.events, "n", 1000, "`number` of events")
	fs.IntVar(&p.window, "window", 1024, "maximum `number` of unacknowledged events")
	fs.StringVar(&p.run, "run", strconv.FormatInt(time.Now().UnixMilli(), 36), "`name` of the run: orders are order-<run>-1, order-<run>-2, …")
	fs.BoolVar(&p.expect, "expect", false, "set event_version, so that the server refuses an event whose order has changed meanwhile")
	if err := parse(fs, args, say); err != nil {
		return err
	}
	if p.events < 1 || p.window < 1 || p.run == "" {
		return wrongUsage(fs, say, "-n and -window must be at least 1, and -run not empty")
	}
	ctx, sc, err := c.connect(ctx, stan.MaxPubAcksInflight(p.window))
	if err != nil {
		return err
	}
	return closeAfter(sc, p.publish(ctx, sc, say))
}

func tailCommand(ctx context.Context, args []string, out *bufio.Writer, say *log.Logger) error {
	var c connection
	fs := flag.NewFlagSet("orders tail", flag.ContinueOnError)
	c.flags(fs, uniqueClientID("tail"))
	durable := fs.String("durable", "", "durable `name` under which the server stores the position; needs -client")
	if err := parse(fs, args, say); err != nil {
		return err
	}
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == "client" })
	if *durable != "" && !given {
		return wrongUsage(fs, say, "-durable needs -client: the server stores the position by client ID and durable name")
	}
	ctx, sc, err := c.connect(ctx)
	if err != nil {
		return err
	}
	return closeAfter(sc, tail(ctx, sc, *durable, out))
}

func replayCommand(ctx context.Context, args []string, out *bufio.Writer, say *log.Logger) error {
	var c connection
	fs := flag.NewFlagSet("orders replay", flag.ContinueOnError)
	c.flags(fs, uniqueClientID("replay"))
	from := fs.Uint64("from", 1, "first `sequence`")
	if err := parse(fs, args, say); err != nil {
		return err
	}
	if *from < 1 {
		return wrongUsage(fs, say, "-from must be at least 1, the sequence of the first event")
	}
	ctx, sc, err := c.connect(ctx)
	if err != nil {
		return err
	}
	return closeAfter(sc, replay(ctx, sc, *from, out, say))
}
