package eventstoretest

import "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"

// Call is a call of the API, to which a fault can happen.
type Call string

// The calls that the client makes. Repository loads with ReadAggregate, Decider with Read; sources and replays use Subscribe.
const (
	Append        Call = eventstorev1connect.EventStoreAppendProcedure
	GetEvent      Call = eventstorev1connect.EventStoreGetEventProcedure
	Read          Call = eventstorev1connect.EventStoreReadProcedure
	ReadAggregate Call = eventstorev1connect.EventStoreReadAggregateProcedure
	Subscribe     Call = eventstorev1connect.EventStoreSubscribeProcedure
	Consume       Call = eventstorev1connect.EventStoreConsumeProcedure
	ListChannels  Call = eventstorev1connect.EventStoreListChannelsProcedure
)
