package settings

import (
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/config"
)

// need is what an option needs to have an effect. A configuration of NATS Streaming may set options of a store that it does
// not use, so this is a notice, not an error.
type need struct {
	what string
	met  func(*Options) bool
}

var (
	sqlStore  = &need{"the store is not SQL: set store to SQL", func(o *Options) bool { return o.StoreType == config.StoreSQL }}
	diskStore = &need{"the store is MEMORY", func(o *Options) bool { return o.StoreType != config.StoreMemory }}
	directory = &need{"the store is not FILE, and JetStream is off or has a directory of its own",
		func(o *Options) bool {
			return o.StoreType == config.StoreFile || o.NATS.JetStream && o.NATS.StoreDir == o.Dir
		}}
	apiPort      = &need{"the API is off: set grpc_port", func(o *Options) bool { return o.API.Port != 0 }}
	externalNATS = &need{"connections to the embedded NATS server are in-process",
		func(o *Options) bool { return o.NATSURL != "" }}
)

// noteIdle adds a notice for each option that is set and has no effect beside the others.
func (o *Options) noteIdle() {
	for _, it := range settings {
		where, given := o.given[it.name()]
		if given && it.needs != nil && !it.needs.met(o) {
			o.Notices = append(o.Notices, fmt.Sprintf("%s has no effect: %s", strings.TrimPrefix(where, "flag "), it.needs.what))
		}
	}
}
