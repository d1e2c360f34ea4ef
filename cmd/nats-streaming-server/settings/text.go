package settings

import (
	"errors"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// Parse returns the options of a server whose whole configuration is a text, written as a configuration file is. name stands for the
// file in errors. Parse reads no flag and no environment variable. Events are kept in memory unless the text says otherwise. Unlike
// Load, it may run beside others.
func Parse(name, text string) (config.Options, error) {
	o := defaultOptions()
	content, err := conf.ParseWithChecks(text)
	if err != nil {
		return o.Options, syntaxError(name, err)
	}
	errs := []error{o.applyTop(name, content), parseNATS(o.NATS, text)}
	if o.StoreType == "" && o.Store.Driver == "" && o.Store.Source == "" {
		o.StoreType = config.StoreMemory
	}
	errs = append(errs, o.resolveStore())
	if o.AccessFile != "" {
		o.Access, err = access.Load(o.AccessFile)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return o.Options, Redacted(err)
	}
	return o.Options, Redacted(o.located(o.Validate()))
}

// parseNATS sets NATS' own options from a configuration that it shares with the streaming part.
func parseNATS(o *natsd.Options, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	askingNATS.Lock() // which changes what follows, for the whole process
	defer askingNATS.Unlock()
	natsd.NoErrOnUnknownFields(true)
	return withRemedy(o.ProcessConfigString(text))
}
