package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/streams"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// followEvery is how often a copy that follows looks for new messages.
const followEvery = 500 * time.Millisecond

// copyJetStream copies channels to streams of JetStream.
type copyJetStream struct {
	nats                                natsFlags
	subject, payload, headers           string
	streams, consumers                  []string
	replicas                            int
	withoutConsumers, dryRun, announced bool
}

func (c *copyJetStream) register(flags *pflag.FlagSet) {
	c.nats.register(flags)
	flags.StringVar(&c.subject, "subject", "{channel}", "with --to-jetstream: subject of a message, in which {event_type}, {aggregate_type}, {aggregate_id} and {channel} stand for its values")
	flags.StringVar(&c.payload, "payload", "envelope", "with --to-jetstream: envelope, the message as it is stored, or data, event_data alone")
	flags.StringVar(&c.headers, "headers", "nats", "with --to-jetstream: headers of events: nats or cloudevents")
	flags.StringArrayVar(&c.streams, "stream", nil, "with --to-jetstream: CHANNEL=STREAM, in place of the channel's name with _ for each dot; again for each")
	flags.StringArrayVar(&c.consumers, "consumer", nil, "with --to-jetstream: CLIENT/DURABLE=CONSUMER or GROUP=CONSUMER, in place of the names with _ between them; again for each")
	flags.IntVar(&c.replicas, "replicas", 1, "with --to-jetstream: replicas of streams that the copy creates")
	flags.BoolVar(&c.withoutConsumers, "no-consumers", false, "with --to-jetstream: leave durables and queue groups out")
	flags.BoolVar(&c.dryRun, "dry-run", false, "with --to-jetstream: say what would be copied to where, after all checks")
}

func (c *copyJetStream) given() bool { return c.nats.url != "" || os.Getenv(envToJetStream) != "" }
func (*copyJetStream) name() string  { return "--to-jetstream" }

// options returns what the flags say of the streams.
func (c *copyJetStream) options(wait time.Duration) (o streams.Options, err error) {
	o = streams.Options{DataOnly: c.payload == "data", Replicas: c.replicas, Wait: wait}
	if o.Subject, err = relay.ParseTemplate(c.subject); err != nil {
		return o, usage("--subject: %v", err)
	}
	if o.Headers, err = relay.ParseHeaders(c.headers); err != nil {
		return o, usage("--%v", err)
	}
	switch {
	case c.payload != "data" && c.payload != "envelope":
		return o, usage("--payload %q: must be envelope or data", c.payload)
	case c.replicas < 1 || c.replicas > 5:
		return o, usage("--replicas %d: must be from 1 to 5", c.replicas)
	}
	if o.Streams, err = renames("stream", c.streams); err != nil {
		return o, err
	}
	o.Consumers, err = renames("consumer", c.consumers)
	return o, err
}

// renames parses OLD=NEW.
func renames(flag string, given []string) (map[string]string, error) {
	all := make(map[string]string)
	for _, one := range given {
		i := strings.LastIndexByte(one, '=') // a new name has none
		if i <= 0 || i == len(one)-1 {
			return nil, usage("--%s %q: write OLD=NEW", flag, one)
		}
		all[one[:i]] = one[i+1:]
	}
	return all, nil
}

func (c *copyJetStream) copy(ctx context.Context, o *copyOptions) error {
	if c.dryRun && o.follow {
		return usage("--dry-run and --follow exclude each other")
	}
	options, err := c.options(o.t.flags.wait)
	if err != nil {
		return err
	}
	conn, err := c.nats.connect(o.t)
	if err != nil {
		return err
	}
	defer conn.Close()
	copier, err := streams.New(conn, c.nats.domain)
	if err != nil {
		return err
	}
	copier.Options, copier.Note = options, o.t.note
	pass := func(ctx context.Context, r *remote) error {
		copier.Source = &channelSource{r: r, patterns: o.patterns, stored: o.t.flags.offline.consumers}
		return c.pass(ctx, o, copier)
	}
	if o.t.flags.offline.given() {
		o.t.flags.offline.every = true
		return c.repeat(ctx, o, func(ctx context.Context) error { return o.t.flags.offline.read(ctx, pass) })
	}
	r, err := o.t.flags.dial()
	if err != nil {
		return err
	}
	return c.repeat(ctx, o, func(ctx context.Context) error { return pass(ctx, r) })
}

// repeat copies once or, to follow, until the user stops it. What is away may come back then.
func (c *copyJetStream) repeat(ctx context.Context, o *copyOptions, pass func(context.Context) error) error {
	away := false
	for {
		err := pass(ctx)
		switch {
		case !o.follow:
			return err
		case ctx.Err() != nil:
			o.t.note("stopped. Run the same command again without --follow, when applications have stopped: it copies what is left, and makes their consumers")
			return nil
		case err != nil && !streams.Passes(err) && statusOf(err) != exitUnreachable:
			return err
		case err != nil && !away:
			o.t.note("waiting: %s", textOf(err))
		case err == nil && away:
			o.t.note("going on")
		}
		away = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(followEvery):
		}
	}
}

// pass copies what is there.
func (c *copyJetStream) pass(ctx context.Context, o *copyOptions, copier *streams.Copier) error {
	planned, err := copier.Plan(ctx)
	if err != nil {
		return err
	}
	var consumers []streams.Consumed
	if !c.withoutConsumers && !o.follow {
		if consumers, err = copier.PlanConsumers(ctx); err != nil {
			return err
		}
	}
	if c.dryRun {
		return c.print(o.t, planned, consumers)
	}
	var p *progress
	begun := false
	copier.Progress = func(done, total uint64) {
		if !begun {
			p, begun = o.t.newProgress("messages", total), true
		}
		p.at(done)
	}
	results, err := copier.Copy(ctx)
	p.clear()
	if err != nil {
		return err
	}
	if err := copier.CreateConsumers(ctx, consumers); err != nil {
		return err
	}
	switch {
	case !o.follow:
		return c.print(o.t, results, consumers)
	case !c.announced:
		c.announced = true
		if err := c.print(o.t, results, nil); err != nil {
			return err
		}
		o.t.note("%d streams are level with their channels, and follow them until ctrl-C", len(results))
	}
	return nil
}

func (c *copyJetStream) print(t *tool, results []streams.Result, consumers []streams.Consumed) error {
	out := t.newList("", "CHANNEL", "STREAM", "SUBJECTS", "LAST", "MESSAGES", "COPIED")
	for _, r := range results {
		if err := out.add(r, r.Channel, r.Stream, strings.Join(r.Subjects, ", "), number(r.Last), number(r.Messages), number(r.Copied)); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil || len(consumers) == 0 {
		return err
	}
	out = t.newList("", "CHANNEL", "CLIENT", "NAME", "CONSUMER", "NEXT", "STATE")
	for _, k := range consumers {
		if err := out.add(k, k.Channel, dash(k.Client), k.Name, dash(k.Consumer), number(k.Next), k.State); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	for _, k := range consumers {
		for _, note := range k.Notes {
			if !t.json() {
				t.note("%s: %s", consumerText(k.Channel, k.Client, k.Name), note)
			}
		}
	}
	return nil
}
