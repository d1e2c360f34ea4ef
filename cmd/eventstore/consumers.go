package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func consumersCommand(t *tool) *cobra.Command {
	c := noun("consumers", "Show and control durables and queue groups",
		consumerListCommand(t), consumerShowCommand(t), consumerSetCommand(t), consumerPauseCommand(t), consumerResumeCommand(t),
		consumerResetCommand(t), consumerSkipCommand(t), consumerDropCommand(t),
		parkedCommand(t), replayCommand(t), discardCommand(t))
	c.Aliases = []string{"consumer"}
	c.Long = `A consumer is a durable or a queue group. It is named by its channel, or pattern of channels, and its name: that of the durable or of the
queue group, or durable:group if that is durable. A plain durable is one of a client: name it with --client. Where the channel is a
pattern, sequences are positions. docs/reference/consumers.md explains what each command does.`
	return c
}

// consumerName names a consumer, by two arguments and a flag.
type consumerName struct{ client string }

func (n *consumerName) register(c *cobra.Command) {
	c.Args = cobra.ExactArgs(2)
	c.Flags().StringVar(&n.client, "client", "", "ID of the client, if it is a plain durable")
}

// consumerText is how a consumer is written for people.
func consumerText(channel, client, name string) string {
	if client != "" {
		return fmt.Sprintf("%s of client %s on channel %s", name, client, channel)
	}
	return fmt.Sprintf("%s on channel %s", name, channel)
}

func consumerListCommand(t *tool) *cobra.Command {
	var lagging bool
	c := &cobra.Command{
		Use:   "ls [CHANNEL]",
		Short: "List the consumers of a channel, or of all channels",
		Args:  cobra.MaximumNArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			channel := ""
			if len(args) > 0 {
				channel = args[0]
			}
			var all []*eventstorev1.Consumer
			err := r.consumers(ctx, channel, func(c *eventstorev1.Consumer) error {
				all = append(all, c)
				return nil
			})
			if err != nil {
				return err
			}
			if lagging {
				sort.SliceStable(all, func(i, j int) bool { return all[i].GetLagSeconds() > all[j].GetLagSeconds() })
			}
			out := t.newList("there are no consumers: a client that subscribes with a durable name or a queue group makes one",
				"CHANNEL", "CLIENT", "NAME", "LAG", "AGE", "UNACKED", "PARKED", "MEMBERS", "STATE")
			for _, c := range all {
				err := out.add(messageJSON(c), c.GetChannel(), dash(c.GetClient()), c.GetName(), number(c.GetLagMessages()), ageOf(c.GetLagSeconds()),
					number(c.GetUnacked()), number(c.GetParked()), fmt.Sprint(active(c)), consumerState(c))
				if err != nil {
					return err
				}
			}
			return out.end()
		}),
	}
	c.Flags().BoolVar(&lagging, "by-lag", false, "the one that is furthest behind first")
	return c
}

// consumers calls each with the consumers of a channel, or of all.
func (r *remote) consumers(ctx context.Context, channel string, each func(*eventstorev1.Consumer) error) error {
	return pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.Consumer, string, error) {
		answer, err := s.admin.ListConsumers(ctx, &eventstorev1.ListConsumersRequest{Channel: channel, PageSize: 1000, PageToken: token})
		return answer.GetConsumers(), answer.GetNextPageToken(), err
	}, each)
}

// ageOf formats seconds for people.
func ageOf(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return duration(time.Duration(seconds * float64(time.Second)))
}

// active returns how many members of a consumer are there.
func active(c *eventstorev1.Consumer) int {
	n := 0
	for _, m := range c.GetMembers() {
		if !m.GetOffline() {
			n++
		}
	}
	return n
}

// consumerState says in words what a consumer does.
func consumerState(c *eventstorev1.Consumer) string {
	switch {
	case c.GetSettings().GetPaused():
		return "paused"
	case c.GetStalledAt() > 0:
		return fmt.Sprintf("stalled at %d", c.GetStalledAt())
	case !c.GetExists():
		return "settings only"
	case active(c) == 0:
		return "offline"
	case c.GetLagMessages() == 0:
		return "up to date"
	}
	for _, m := range c.GetMembers() {
		if m.GetStalled() {
			return "waiting for acks"
		}
	}
	return "behind"
}

func consumerShowCommand(t *tool) *cobra.Command {
	var name consumerName
	c := &cobra.Command{
		Use:   "show CHANNEL NAME",
		Short: "Show a consumer with its members and settings",
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			return r.call(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.GetConsumer(ctx, &eventstorev1.GetConsumerRequest{Channel: args[0], Client: name.client, Name: args[1]})
				if err != nil {
					return err
				}
				return t.showConsumer(answer.GetConsumer())
			})
		}),
	}
	name.register(c)
	return c
}

// showConsumer prints a consumer in full, which every act on one does.
func (t *tool) showConsumer(c *eventstorev1.Consumer) error {
	if t.json() {
		return t.printJSON(messageJSON(c))
	}
	kind := "queue group"
	switch {
	case c.GetQueue() && c.GetDurable():
		kind = "durable queue group"
	case c.GetDurable():
		kind = "durable"
	}
	rows := [][2]string{
		{"channel", c.GetChannel()}, {"client", c.GetClient()}, {"name", c.GetName()}, {"kind", kind}, {"state", consumerState(c)},
		{"last sent", number(c.GetLastSent())}, {"lag", fmt.Sprintf("%s messages, the oldest %s old", number(c.GetLagMessages()), ageOf(c.GetLagSeconds()))},
		{"unacked", fmt.Sprintf("%s, of which %s wait with no member", number(c.GetUnacked()), number(c.GetWaiting()))}, {"parked", number(c.GetParked())},
	}
	if c.GetStalledAt() > 0 {
		rows = append(rows, [2]string{"stalled", fmt.Sprintf("at %d since %s: skip it, or change max_deliveries", c.GetStalledAt(), t.timestamp(c.GetStalledSince()))})
	}
	if settings := settingsText(c.GetSettings()); settings != "" {
		rows = append(rows, [2]string{"settings", settings})
	}
	if settings := settingsText(c.GetStoredSettings()); settings != "" {
		rows = append(rows, [2]string{"set at run time", settings})
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if err := t.print("%-16s %s", row[0]+":", row[1]); err != nil {
			return err
		}
	}
	if len(c.GetMembers()) == 0 {
		return nil
	}
	out := t.newList("", "MEMBER", "BY", "PENDING", "MAX INFLIGHT", "ACK WAIT", "STATE")
	for _, m := range c.GetMembers() {
		state := "active"
		switch {
		case m.GetOffline():
			state = "offline"
		case m.GetStalled():
			state = "must acknowledge first"
		}
		door := map[eventstorev1.ConsumerMember_Door]string{eventstorev1.ConsumerMember_DOOR_API: "API", eventstorev1.ConsumerMember_DOOR_NATS_STREAMING: "NATS Streaming"}[m.GetDoor()]
		if err := out.add(nil, dash(m.GetClient()), door, number(m.GetPending()), number(m.GetMaxInflight()), m.GetAckWait().AsDuration().String(), state); err != nil {
			return err
		}
	}
	return out.end()
}

// settingsText is the settings that are set, as the configuration file has them.
func settingsText(s *eventstorev1.ConsumerSettings) string {
	if s == nil {
		return ""
	}
	var all []string
	values := messageJSON(s)
	for _, key := range []string{"max_deliveries", "on_limit", "backoff", "ack_wait", "max_inflight", "order_by", "behind_parked", "filter", "paused"} {
		value, set := values[key]
		if list, ok := value.([]any); !set || ok && len(list) == 0 {
			continue
		}
		all = append(all, key+": "+compact(value))
	}
	return strings.Join(all, ", ")
}
