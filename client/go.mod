module github.com/nats-eventstore/nats-eventstore/client

go 1.26.0

require (
	connectrpc.com/connect v1.20.0
	github.com/cenkalti/backoff/v5 v5.0.3
	github.com/google/uuid v1.6.0
	github.com/nats-eventstore/nats-eventstore/proto v0.1.0
	google.golang.org/protobuf v1.36.12
)
