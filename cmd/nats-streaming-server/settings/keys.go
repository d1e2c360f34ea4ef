package settings

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// encryptKey is the key of a block, or a list of blocks, that says what an events block encrypts.
const encryptKey = eventsKey + ".encrypt"

var encrypt = []string{encryptKey}

// encryptSettings say which fields of events are encrypted. They are part of an events block.
var encryptSettings = []setting{
	{
		keys: under(encrypt, "subject"), state: added,
		usage: "Source of the person's identifier, such as $.customer_id or customer.id: each has a key of its own",
		set: func(o *Options, v, _ string) error {
			o.seal.Subject = v
			return nil
		},
	},
	{
		keys: under(encrypt, "fields"), kind: list, state: added,
		usage: "Sources of the values to encrypt, such as [\"$.name\", \"$.email\"]",
		set: func(o *Options, v, _ string) error {
			o.seal.Fields = splitList(v)
			return nil
		},
	},
	{
		keys: under(events, "plain_subscribers"), kind: toggle, state: added,
		usage: "Decrypt for clients of NATS Streaming; otherwise they get what is stored",
		set:   setBool(func(o *Options) *bool { return &o.block.PlainSubscribers }),
	},
}

var keysBlock = []string{"keys"}

// keySettings say where the keys of encrypted fields are.
var keySettings = []setting{
	{
		flags: []string{"keys_master"}, keys: under(keysBlock, "master"), value: "<place>",
		usage: "Master key: file:PATH, env:NAME, or command:PROGRAM, which wraps and unwraps by a key management service",
		state: added,
		set:   setString(func(o *Options) *string { return &o.Keys.Master }),
	},
	{
		flags: []string{"keys_driver"}, keys: under(keysBlock, "driver"),
		usage: "Database of the keys: postgres, mysql or sqlite", def: "that of the events", values: []string{"postgres", "mysql", "sqlite"},
		state: added,
		set:   setString(func(o *Options) *string { return &o.Keys.Driver }),
	},
	{
		flags: []string{"keys_source"}, keys: under(keysBlock, "source"), value: "<dsn>",
		usage: "Data source name of the database of the keys, another one than that of the events", secret: true,
		state: added,
		set:   setString(func(o *Options) *string { return &o.Keys.Source }),
	},
}

// applyEncrypt sets what an events block encrypts: one block, or a list of blocks.
func (o *Options) applyEncrypt(b blockOf, name string, tk any) error {
	blocks, several := value(tk).([]any)
	if !several {
		blocks = []any{tk}
	}
	b.prefix = encryptKey + "."
	defer func() { o.seal = nil }()
	o.block.Encrypt = make([]eventlog.EncryptedFields, len(blocks))
	var errs []error
	for i, tk := range blocks {
		content, ok := value(tk).(map[string]any)
		if !ok {
			errs = append(errs, &placedError{place(b.file, tk), wrongType(name, block, tk)})
			continue
		}
		o.seal = &o.block.Encrypt[i]
		errs = append(errs, o.applyBlock(b, content))
	}
	return errors.Join(errs...)
}
