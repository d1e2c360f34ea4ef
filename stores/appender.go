package stores

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Appender is who appended a message, as far as a door knows. What it does not know is empty.
type Appender struct {
	Principal string // name in the access file, user of NATS, or subject of a certificate
	ClientID  string // of NATS Streaming
	Address   string // host, without a port
}

const (
	// appenderText bounds each text of an appender, in bytes.
	appenderText = 255
	// knownAppenders bounds the appenders whose IDs are in memory.
	knownAppenders = 10_000
)

// storable returns the appender in a form that each database accepts.
func (a Appender) storable() Appender {
	return Appender{storableText(a.Principal, appenderText), storableText(a.ClientID, appenderText), storableText(a.Address, appenderText)}
}

// ascii replaces what a database of another encoding may not accept.
func (a Appender) ascii() Appender {
	plain := func(text string) string {
		return strings.Map(func(r rune) rune {
			if r > '~' {
				return '?'
			}
			return r
		}, text)
	}
	return Appender{plain(a.Principal), plain(a.ClientID), plain(a.Address)}
}

// appenderCache has the IDs of appenders that were used lately. It is not synchronized.
type appenderCache struct {
	lru *simplelru.LRU[Appender, uint64]
}

func newAppenderCache() appenderCache {
	lru, err := simplelru.NewLRU[Appender, uint64](knownAppenders, nil)
	if err != nil {
		panic(err) // only for a size below one
	}
	return appenderCache{lru}
}

// fillAppenders finds the IDs of the batch's appenders, and stores those that are new, in a transaction before that of the batch: a row
// that no message names does no harm.
func (b *batch) fillAppenders(ctx context.Context) error {
	var missing []*Appender
	for i := range b.appends {
		by := b.appends[i].By
		if by == nil || b.appenders[by] != 0 {
			continue
		}
		if b.appenders == nil {
			b.appenders = map[*Appender]uint64{}
		}
		id, known := b.s.appenders.lru.Get(*by)
		if !known {
			missing = append(missing, by)
		}
		b.appenders[by] = id
	}
	if len(missing) == 0 {
		return nil
	}
	if err := b.storeAppenders(ctx, missing, Appender.storable); err != nil {
		if !IsRefused(err) {
			return fmt.Errorf("store who appends: %w", err)
		}
		if err := b.storeAppenders(ctx, missing, func(a Appender) Appender { return a.storable().ascii() }); err != nil {
			return fmt.Errorf("store who appends: %w", err)
		}
	}
	return nil
}

// storeAppenders finds or inserts the rows of appenders, each in the form that it is stored in.
func (b *batch) storeAppenders(ctx context.Context, missing []*Appender, form func(Appender) Appender) error {
	ids := make([]uint64, len(missing))
	err := b.s.write(ctx, func(t *transaction) error {
		var last uint64
		if err := t.query(ctx, b.s.text.maxAppender, func(rows *sql.Rows) error { return rows.Scan(&last) }); err != nil {
			return err
		}
		for i, by := range missing {
			a := form(*by)
			ids[i] = 0
			if err := t.query(ctx, b.s.text.appenderID, func(rows *sql.Rows) error { return rows.Scan(&ids[i]) }, a.Principal, a.ClientID, a.Address); err != nil {
				return err
			}
			if ids[i] != 0 {
				continue
			}
			last++
			ids[i] = last
			if _, err := t.exec(ctx, b.s.text.insertAppender, last, a.Principal, a.ClientID, a.Address); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, by := range missing {
		b.appenders[by] = ids[i]
		b.s.appenders.lru.Add(*by, ids[i])
	}
	return nil
}

// AppenderOf returns who appended a message, or nil if that was not recorded.
//
// The error is ErrUnavailable. AppenderOf does not retry.
func (s *Store) AppenderOf(ctx context.Context, c *Channel, sequence uint64) (*Appender, error) {
	if sequence > maxSequence {
		return nil, nil
	}
	var found *Appender
	err := s.reader.query(ctx, s.text.appenderOf, func(rows *sql.Rows) error {
		found = &Appender{}
		return rows.Scan(&found.Principal, &found.ClientID, &found.Address)
	}, c.id, sequence)
	if err != nil {
		return nil, fmt.Errorf("read who appended message %d of channel %q: %w", sequence, c.name, s.readError(ctx, err))
	}
	return found, nil
}
