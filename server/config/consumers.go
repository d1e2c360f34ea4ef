package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// validateConsumers validates the settings of durables and queue groups. Its errors begin with their places.
func (o *Options) validateConsumers() error {
	var errs []error
	for i := range o.Consumers {
		r := &o.Consumers[i]
		if err := r.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: consumers: %w", cmp.Or(r.At, fmt.Sprintf("block %d", i+1)), err))
		}
	}
	return errors.Join(errs...)
}

// describeRule returns the log line of settings of consumers.
func describeRule(r *consumers.Rule) string {
	text, err := json.Marshal(r.Settings)
	if err != nil {
		panic(err) // texts, numbers and lists
	}
	return fmt.Sprintf("Consumers: %s of %s: %s", cmp.Or(strings.Join(r.Names, ", "), "all durables and queue groups"), cmp.Or(strings.Join(r.Channels, ", "), "all channels"), text)
}
