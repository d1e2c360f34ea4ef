package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
	"github.com/nats-eventstore/nats-eventstore/stores/verify"
)

func chainCommand(t *tool) *cobra.Command {
	head := &cobra.Command{
		Use:   "head",
		Short: "Show the last head of the chain: a line to keep elsewhere",
		Args:  cobra.NoArgs,
		RunE: t.connected(func(ctx context.Context, r *remote, _ []string) error {
			return r.call(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.events.GetHead(ctx, &eventstorev1.GetHeadRequest{})
				if err != nil {
					return err
				}
				h := chain.Head{ClusterID: answer.GetClusterId(), Position: answer.GetPosition(), Time: answer.GetTime().AsTime(), Key: answer.GetPublicKey(), Signature: answer.GetSignature()}
				copy(h.Hash[:], answer.GetHash())
				line, err := json.Marshal(h)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(t.out, "%s\n", line)
				return err
			})
		}),
	}
	keygen := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key that signs heads, and print its public key",
		Long: `Writes an Ed25519 key to a new file that only you can read, for the option chain_key of the server, and prints the public key, for
eventstore verify --key. Keep the public key where nobody who administers the database can change it.`,
		Example: "  eventstore chain keygen /etc/nats-streaming-server/chain.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			text, err := chain.EncodePrivateKey(private)
			if err != nil {
				return err
			}
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = file.Write(text)
			if err := errors.Join(err, file.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(t.out, chain.EncodeKey(public))
			return err
		},
	}
	return noun("chain", "Show and sign the chain of hashes over all events", head, keygen)
}

// chainFlags say how verify checks the chain of hashes.
type chainFlags struct {
	only             bool
	from, heads, key string
}

// chain returns what the flags say.
func (f *chainFlags) chain() (c verify.Chain, err error) {
	c.Only = f.only
	if f.key != "" {
		if c.Key, err = chain.DecodeKey(f.key); err != nil {
			return c, usage("--key %v", err)
		}
	}
	if f.from != "" {
		if c.From, err = strconv.ParseUint(f.from, 10, 64); err == nil {
			return f.add(c, f.heads)
		}
		if c, err = f.add(c, f.from); err != nil {
			return c, err
		}
		for i := range c.Kept {
			c.From = max(c.From, c.Kept[i].Position)
		}
	}
	return f.add(c, f.heads)
}

// add adds the heads of a file.
func (f *chainFlags) add(c verify.Chain, name string) (verify.Chain, error) {
	if name == "" {
		return c, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return c, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	kept, err := chain.ReadHeads(file)
	if err == nil && len(kept) == 0 {
		err = errors.New("it holds no head")
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	c.Kept = append(c.Kept, kept...)
	return c, nil
}
