package verify

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// wildcards reads the patterns of consumers without a channel. Their rows in Consumers and Subscriptions have the id 0, their
// sequences are positions.
func (c *check) wildcards(ctx context.Context) error {
	all := &channelCheck{check: c}
	c.allEvents, c.patterns = all, map[uint64]string{}
	err := c.snapshot.Query(ctx, givenText, func(rows *sql.Rows) error {
		var last sql.NullInt64
		_, err := c.scanned(rows, "StoreLock", &last)
		all.maxseq = last.Int64
		return err
	})
	if err != nil {
		return err
	}
	return c.snapshot.Query(ctx, "SELECT consumer, pattern FROM Wildcards ORDER BY consumer", func(rows *sql.Rows) error {
		var id int64
		var pattern string
		ok, err := c.scanned(rows, "Wildcards", &id, &pattern)
		if err != nil || !ok {
			return err
		}
		if !stores.ValidPattern(pattern) {
			c.findings.add("consumer", "Wildcards", fmt.Sprintf("consumer %d", id), "%q is not a pattern of channels", pattern)
		}
		c.patterns[uint64(id)] = pattern
		return nil
	})
}

// subscribed returns the channel of a subscription or a consumer, what stands for all events, or nil.
func (c *check) subscribed(channel int64) *channelCheck {
	if channel == 0 {
		return c.allEvents
	}
	return c.channels[channel]
}
