package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
)

// CreateChannel creates a channel, or returns the existing one of that name. It retries until ctx ends.
func (s *Store) CreateChannel(ctx context.Context, name string) (*Channel, error) {
	channels, err := s.CreateChannels(ctx, []string{name})
	return channels[name], err
}

// CreateChannels creates several channels in one transaction, as CreateChannel does. If the database refuses that, it
// creates each by itself. Even with an error it returns the channels that exist.
func (s *Store) CreateChannels(ctx context.Context, names []string) (map[string]*Channel, error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	channels := make(map[string]*Channel, len(names))
	var missing []string
	for _, name := range names {
		if _, twice := channels[name]; twice {
			continue
		}
		if channels[name] = s.Channel(name); channels[name] == nil {
			missing = append(missing, name)
		}
	}
	err := s.create(ctx, missing)
	if failed := (*txError)(nil); errors.As(err, &failed) && len(missing) > 1 {
		var errs []error
		for _, name := range missing {
			errs = append(errs, s.create(ctx, []string{name}))
		}
		err = errors.Join(errs...)
	}
	for _, name := range missing {
		channels[name] = s.Channel(name)
	}
	maps.DeleteFunc(channels, func(_ string, c *Channel) bool { return c == nil })
	return channels, err
}

// create creates channels that memory does not know. A *txError means that the database refused one of them.
func (s *Store) create(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	// An ID is used only once, whatever the outcome of the transaction.
	s.mu.Lock()
	first := s.channelID + 1
	s.channelID += int64(len(names))
	s.mu.Unlock()

	var created []*Channel
	err := s.write(ctx, func(t *transaction) (err error) {
		created, err = s.findOrInsert(ctx, t, names, first)
		return err
	})
	switch {
	case err != nil && len(names) == 1:
		return fmt.Errorf("create channel %q: %w", names[0], err)
	case err != nil:
		return fmt.Errorf("create %d channels: %w", len(names), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range created {
		s.byName[c.name] = c
	}
	return nil
}

// findOrInsert looks by name first: an earlier attempt or call with an unknown outcome may have inserted the row.
func (s *Store) findOrInsert(ctx context.Context, t *transaction, names []string, first int64) ([]*Channel, error) {
	byName := map[string]*Channel{}
	err := s.dialect.channelIDs(ctx, t, names, func(id int64, name string) {
		if byName[name] == nil { // the oldest, as in Recover
			byName[name] = &Channel{name: name, id: id}
		}
	})
	if err != nil {
		return nil, err
	}
	var all, missing []*Channel
	for i, name := range names {
		c := byName[name]
		if c == nil {
			c = &Channel{name: name, id: first + int64(i)}
			missing = append(missing, c)
		} else if err := s.load(ctx, t, c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(missing) == 0 {
		return all, nil
	}
	return all, s.dialect.insertChannels(ctx, t, missing)
}

// scanChannelID scans a row of dialect.channelIDs.
func scanChannelID(found func(id int64, name string)) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		if err == nil {
			found(id, name)
		}
		return err
	}
}

// load reads the state of a channel that memory does not know.
func (s *Store) load(ctx context.Context, t *transaction, c *Channel) error {
	return t.query(ctx, s.text.channel, func(rows *sql.Rows) error {
		var id int64
		return scanChannel(rows, &id, nil, &c.info)
	}, c.id)
}
