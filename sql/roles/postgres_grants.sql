-- What the server and readers may do. Run it as eventstore_owner, after each migration.

-- Whoever serves may add messages, and remove those that are not events: retention does. It may not change a message, but for the
-- position of an event that has none, nor a trigger, which only the owner may.
GRANT SELECT ON goose_db_version TO eventstore_server;
GRANT SELECT, INSERT, UPDATE ON ServerInfo, Relays TO eventstore_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON Clients, Subscriptions, SubsPending, Consumers, ConsumersPending, Wildcards TO eventstore_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON NamedConsumers, Parked, ConsumersRedelivered TO eventstore_server;
GRANT SELECT, INSERT, DELETE ON CancelledDeliveries TO eventstore_server;
GRANT SELECT, INSERT, DELETE, UPDATE (position) ON Messages TO eventstore_server;
GRANT SELECT, INSERT ON EventTags, TimeSteps, AuditEntries TO eventstore_server;
GRANT SELECT, DELETE, INSERT (id, name), UPDATE (maxseq, msgs, bytes, deleted) ON Channels TO eventstore_server;
GRANT SELECT, UPDATE ON StoreLock TO eventstore_server;

GRANT SELECT ON events, consumer_status, parked_messages, Messages, Channels, EventTags TO eventstore_analyst;
