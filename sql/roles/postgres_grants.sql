-- What the server and readers may do. Run it as eventstore_owner, after each migration.

-- Whoever serves may add messages, and remove those that are not events: retention does. It may not change an event, but for the
-- position and the hash of one that has none, and what an erasure lists: triggers see to it, which only the owner may change.
GRANT SELECT ON goose_db_version TO eventstore_server;
GRANT SELECT, INSERT, UPDATE ON ServerInfo, Relays TO eventstore_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON Clients, Subscriptions, SubsPending, Consumers, ConsumersPending, Wildcards TO eventstore_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON NamedConsumers, Parked, ConsumersRedelivered TO eventstore_server;
GRANT SELECT, INSERT, DELETE ON CancelledDeliveries TO eventstore_server;
GRANT SELECT, INSERT, DELETE, UPDATE (position, size, data, event_data, metadata, tags, erased, chain) ON Messages TO eventstore_server;
GRANT SELECT, INSERT, DELETE ON EventTags, ErasedMessages TO eventstore_server;
GRANT SELECT, INSERT, UPDATE ON Erasures TO eventstore_server;
GRANT SELECT, INSERT ON TimeSteps, AuditEntries, Appenders, ChainHeads TO eventstore_server;
GRANT SELECT, DELETE, INSERT (id, name), UPDATE (maxseq, msgs, bytes, deleted) ON Channels TO eventstore_server;
GRANT SELECT, UPDATE ON StoreLock TO eventstore_server;

GRANT SELECT ON events, consumer_status, parked_messages, Messages, Channels, EventTags TO eventstore_analyst;
