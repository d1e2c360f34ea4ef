-- What the server and readers may do. Run it as an administrator, after each migration.

-- Whoever serves may add messages, and remove those that are not events: retention does. It may not change an event, but for the
-- position and the hash of one that has none, and what an erasure lists: triggers see to it, which it may not change. Nor may it TRUNCATE, which needs DROP.
GRANT SELECT ON eventstore.goose_db_version TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE ON eventstore.ServerInfo TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE ON eventstore.Relays TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Clients TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Subscriptions TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.SubsPending TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Consumers TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.ConsumersPending TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Wildcards TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.NamedConsumers TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Parked TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.ConsumersRedelivered TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, DELETE ON eventstore.CancelledDeliveries TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, DELETE, UPDATE (position, size, data, event_data, metadata, tags, erased, chain) ON eventstore.Messages TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, DELETE ON eventstore.EventTags TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, UPDATE ON eventstore.Erasures TO 'eventstore_server'@'%';
GRANT SELECT, INSERT, DELETE ON eventstore.ErasedMessages TO 'eventstore_server'@'%';
GRANT SELECT, INSERT ON eventstore.TimeSteps TO 'eventstore_server'@'%';
GRANT SELECT, INSERT ON eventstore.AuditEntries TO 'eventstore_server'@'%';
GRANT SELECT, INSERT ON eventstore.Appenders TO 'eventstore_server'@'%';
GRANT SELECT, INSERT ON eventstore.ChainHeads TO 'eventstore_server'@'%';
-- All columns: MariaDB wants UPDATE of the key for ON DUPLICATE KEY UPDATE. The triggers keep the channels of events.
GRANT SELECT, INSERT, UPDATE, DELETE ON eventstore.Channels TO 'eventstore_server'@'%';
GRANT SELECT, UPDATE ON eventstore.StoreLock TO 'eventstore_server'@'%';

GRANT SELECT ON eventstore.events TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.Messages TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.Channels TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.EventTags TO 'eventstore_analyst'@'%';
-- What the views consumer_status and parked_messages read.
GRANT SELECT ON eventstore.consumer_status TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.parked_messages TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.NamedConsumers TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.Parked TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.Consumers TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.ConsumersPending TO 'eventstore_analyst'@'%';
GRANT SELECT ON eventstore.Wildcards TO 'eventstore_analyst'@'%';
GRANT SELECT (id, subid, client, name, kind) ON eventstore.Subscriptions TO 'eventstore_analyst'@'%';
