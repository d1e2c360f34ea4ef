package main

import (
	"context"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func clientsCommand(t *tool) *cobra.Command {
	c := noun("clients", "Show who is connected, and close clients", clientListCommand(t), clientKickCommand(t))
	c.Aliases = []string{"client"}
	return c
}

func clientListCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the clients of NATS Streaming, and those that consume by the API",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			out := t.newList("no client is connected", "CLIENT", "SUBSCRIPTIONS", "STATE")
			err := pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.Client, string, error) {
				answer, err := s.admin.ListClients(ctx, &eventstorev1.ListClientsRequest{PageSize: 1000, PageToken: token})
				return answer.GetClients(), answer.GetNextPageToken(), err
			}, func(c *eventstorev1.Client) error {
				state := "healthy"
				if !c.GetHealthy() {
					state = "does not answer heartbeats"
				}
				return out.add(messageJSON(c), c.GetClient(), number(c.GetSubscriptions()), state)
			})
			if err != nil {
				return err
			}
			return out.end()
		}),
	}
}

func clientKickCommand(t *tool) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "kick CLIENT",
		Short: "Close a client, which may connect again; its durables keep their positions",
		Args:  cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			if err := t.confirm("close client %s", args[0]); err != nil {
				return err
			}
			err := r.act(ctx, func(ctx context.Context, s *server) error {
				_, err := s.admin.KickClient(ctx, &eventstorev1.KickClientRequest{Client: args[0], Reason: reason})
				return err
			})
			if err != nil {
				return err
			}
			t.note("closed client %s", args[0])
			return nil
		}),
	}
	reasonFlag(c, &reason)
	t.yesFlag(c)
	return c
}
