package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
)

// KeyOptions returns where the keys of encrypted fields are.
func (o *Options) KeyOptions() keys.Options {
	k := o.Keys
	k.Driver = cmp.Or(k.Driver, o.Store.Driver)
	return k
}

// validateKeys checks that what is to be encrypted has keys, and is shown nowhere else.
func (o *Options) validateKeys(events eventlog.Events) error {
	switch {
	case events.Encrypt() && o.Keys.IsZero():
		return errors.New("encrypt needs keys: add a block keys { master: ..., source: ... }, as docs/operate/personal-data.md shows")
	case o.Keys.IsZero():
		return nil
	case o.Keys.Source != "" && o.Keys.Source == o.Store.Source:
		return invalid("keys_source", "keys_source is the database of the events, whose backups would bring forgotten keys back: name another database")
	}
	if err := o.Keys.Validate(); err != nil {
		return err
	}
	for i := range o.Events {
		for _, entry := range o.Events[i].Encrypt {
			if err := o.checkIndexes(&o.Events[i], entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkIndexes refuses an index on what is encrypted: it would find nothing.
func (o *Options) checkIndexes(b *eventlog.EventBlock, entry eventlog.EncryptedFields) error {
	data := b.Payload.EventData
	if b.Payload.Format == proto.FormatCloudEvents {
		data = cmp.Or(data, "$.data")
	}
	for _, field := range entry.Fields {
		inData := strings.TrimSpace(field)
		if data != "" && data != "$" {
			rest, inside := strings.CutPrefix(inData, data+".")
			if !inside {
				continue
			}
			inData = "$." + rest
		}
		for _, path := range o.Store.IndexEventData {
			if path == inData || strings.HasPrefix(path, inData+".") {
				return fmt.Errorf("%s: encrypt: field %q has an index, which would hold nothing but ciphertext: remove one of them", b.At, field)
			}
		}
	}
	return nil
}
