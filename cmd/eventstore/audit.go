package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func auditCommand(t *tool) *cobra.Command {
	var limit uint64
	c := &cobra.Command{
		Use:   "audit",
		Short: "List administrative acts, the newest first",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			out := t.newList("nobody has administered anything yet", "TIME", "WHO", "FROM", "ACTION", "TARGET", "DETAIL")
			n := uint64(0)
			err := pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.AuditEntry, string, error) {
				answer, err := s.admin.ListAudit(ctx, &eventstorev1.ListAuditRequest{PageSize: 1000, PageToken: token})
				return answer.GetEntries(), answer.GetNextPageToken(), err
			}, func(e *eventstorev1.AuditEntry) error {
				if limit > 0 && n >= limit {
					return errDone
				}
				n++
				return out.add(messageJSON(e), t.timestamp(e.GetTime()), dash(e.GetPrincipal()), e.GetAddress(), e.GetAction(), e.GetTarget(), dash(e.GetDetail()))
			})
			if err != nil && !errors.Is(err, errDone) {
				return err
			}
			return out.end()
		}),
	}
	c.Flags().Uint64VarP(&limit, "limit", "n", 100, "end after so many; 0 for all")
	return c
}

func deliveryCommand(t *tool) *cobra.Command {
	cancel := &cobra.Command{
		Use:   "cancel CHANNEL EVENT_ID",
		Short: "Cancel the delayed delivery of an event to all consumers that have not received it yet",
		Args:  cobra.ExactArgs(2),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			if err := t.confirm("cancel the delivery of event %s on channel %s", args[1], args[0]); err != nil {
				return err
			}
			err := r.act(ctx, func(ctx context.Context, s *server) error {
				_, err := s.admin.CancelDelivery(ctx, &eventstorev1.CancelDeliveryRequest{Channel: args[0], EventId: args[1]})
				return err
			})
			if err != nil {
				return err
			}
			t.note("cancelled the delivery of event %s", args[1])
			return nil
		}),
	}
	t.yesFlag(cancel)
	return noun("delivery", "Cancel delayed deliveries", cancel)
}
