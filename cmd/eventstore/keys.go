package main

import (
	"context"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func keysCommand(t *tool) *cobra.Command {
	c := noun("keys", "Show the keys of encrypted fields, forget people, and rotate keys",
		keyListCommand(t), keyShowCommand(t), keyForgetCommand(t), keyRenewCommand(t), keyRotateCommand(t))
	c.Aliases = []string{"key"}
	return c
}

func keyListCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the keys, each for a person whom the list does not name",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			out := t.newKeyList("no field was ever encrypted")
			locked := ""
			err := pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.SubjectKey, string, error) {
				answer, err := s.admin.ListKeys(ctx, &eventstorev1.ListKeysRequest{PageSize: 1000, PageToken: token})
				locked = answer.GetLocked()
				return answer.GetKeys(), answer.GetNextPageToken(), err
			}, func(k *eventstorev1.SubjectKey) error { return t.addKey(out, k) })
			if err != nil {
				return err
			}
			if locked != "" {
				t.note("nothing can be encrypted or decrypted: %s", locked)
			}
			return out.end()
		}),
	}
}

func (t *tool) newKeyList(empty string) *list { return t.newList(empty, "KEY", "CREATED", "FORGOTTEN") }

func (t *tool) addKey(out *list, k *eventstorev1.SubjectKey) error {
	forgotten := ""
	if k.GetForgottenAt() != nil {
		forgotten = t.timestamp(k.GetForgottenAt())
	}
	return out.add(messageJSON(k), k.GetName(), t.timestamp(k.GetCreatedAt()), dash(forgotten))
}

func (t *tool) showKeys(all []*eventstorev1.SubjectKey) error {
	out := t.newKeyList("the subject has no key")
	for _, k := range all {
		if err := t.addKey(out, k); err != nil {
			return err
		}
	}
	return out.end()
}

const subjectHelp = "SUBJECT is the person's identifier as the events have it, or key: and the name of a key, which encrypted fields show."

func keyShowCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "show SUBJECT",
		Short: "Show the keys of a person",
		Long:  "Show the keys of a person.\n\n" + subjectHelp,
		Args:  cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			var answer *eventstorev1.GetSubjectKeysResponse
			err := r.act(ctx, func(ctx context.Context, s *server) (err error) {
				answer, err = s.admin.GetSubjectKeys(ctx, &eventstorev1.GetSubjectKeysRequest{Subject: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			return t.showKeys(answer.GetKeys())
		}),
	}
}

func keyForgetCommand(t *tool) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "forget SUBJECT",
		Short: "Delete the keys of a person, whose encrypted fields nobody can read again",
		Long:  "Delete the keys of a person. Nobody can read what they encrypted again, wherever it was copied.\n\n" + subjectHelp,
		Args:  cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			if err := t.confirm("delete the keys of %s for ever", args[0]); err != nil {
				return err
			}
			var answer *eventstorev1.ForgetSubjectResponse
			err := r.act(ctx, func(ctx context.Context, s *server) (err error) {
				answer, err = s.admin.ForgetSubject(ctx, &eventstorev1.ForgetSubjectRequest{Subject: args[0], Reason: reason})
				return err
			})
			if err != nil {
				return err
			}
			t.note("the encrypted fields of %s can no longer be read", args[0])
			return t.showKeys(answer.GetKeys())
		}),
	}
	reasonFlag(c, &reason)
	t.yesFlag(c)
	return c
}

func keyRenewCommand(t *tool) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "renew SUBJECT",
		Short: "Make a key for the new events of a person; older events stay readable",
		Long:  "Make a key for the new events of a person. Older events stay readable.\n\n" + subjectHelp,
		Args:  cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			var answer *eventstorev1.RenewSubjectKeyResponse
			err := r.act(ctx, func(ctx context.Context, s *server) (err error) {
				answer, err = s.admin.RenewSubjectKey(ctx, &eventstorev1.RenewSubjectKeyRequest{Subject: args[0], Reason: reason})
				return err
			})
			if err != nil {
				return err
			}
			return t.showKeys(answer.GetKeys())
		}),
	}
	reasonFlag(c, &reason)
	return c
}

func keyRotateCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Wrap all keys anew, by the first master key that the server's configuration names",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			var answer *eventstorev1.RotateMasterKeyResponse
			err := r.act(ctx, func(ctx context.Context, s *server) (err error) {
				answer, err = s.admin.RotateMasterKey(ctx, &eventstorev1.RotateMasterKeyRequest{})
				return err
			})
			if err != nil {
				return err
			}
			t.note("wrapped %d keys anew; the former master key is not needed any more", answer.GetKeys())
			return nil
		}),
	}
}
