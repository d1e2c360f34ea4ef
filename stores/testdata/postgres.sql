SELECT id, tick FROM StoreLock
UPDATE StoreLock SET id = $1, tick = tick + 1 WHERE id = $2 AND tick = $3
UPDATE StoreLock SET tick = tick + 1 WHERE id = $1
UPDATE StoreLock SET id = '', tick = tick + 1 WHERE id = $1
SELECT position FROM StoreLock
SELECT l.position, m.position, m.timestamp, m.chain FROM StoreLock AS l LEFT JOIN Messages AS m ON m.position = (SELECT position FROM Messages WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1)
UPDATE StoreLock SET position = $1 WHERE position = $2
UPDATE StoreLock SET position = $1 WHERE position IS NULL
SELECT 1 FROM TimeSteps WHERE position = $1
INSERT INTO TimeSteps (position) VALUES ($1)
SELECT id FROM (SELECT c.id, (SELECT CASE WHEN event_type IS NOT NULL AND position IS NULL THEN 1 ELSE 0 END FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) AS late FROM Channels AS c WHERE c.deleted = FALSE) AS l WHERE late = 1 ORDER BY id
SELECT seq FROM Messages WHERE id = $1 AND seq > $2 AND seq <= $3 AND position IS NOT NULL ORDER BY seq DESC LIMIT $4
SELECT seq, timestamp FROM Messages WHERE id = $1 AND seq > $2 AND seq <= $3 AND event_type IS NOT NULL AND position IS NULL ORDER BY seq LIMIT $4
SELECT id, proto, version FROM ServerInfo WHERE uniquerow = 1
INSERT INTO ServerInfo (uniquerow, id, proto, version) VALUES (1, $1, $2, $3) ON CONFLICT (uniquerow) DO UPDATE SET id = excluded.id, proto = excluded.proto, version = excluded.version
SELECT id, hbinbox, proto FROM Clients ORDER BY id
INSERT INTO Clients (id, hbinbox, proto) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET hbinbox = excluded.hbinbox, proto = excluded.proto
DELETE FROM Clients WHERE id = $1
SELECT position FROM Relays WHERE stream = $1
INSERT INTO Relays (stream, position) VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET position = excluded.position
SELECT COALESCE(MAX(id), 0) FROM Channels
SELECT c.id, c.name, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.deleted = FALSE ORDER BY c.id
SELECT n.id, COALESCE((SELECT name FROM Channels WHERE id = n.id AND deleted = FALSE), ''), (SELECT maxseq FROM Channels WHERE id = n.id), (SELECT msgs FROM Channels WHERE id = n.id), (SELECT bytes FROM Channels WHERE id = n.id), (SELECT seq FROM Messages WHERE id = n.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = n.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = n.id ORDER BY seq DESC LIMIT 1) FROM (SELECT id FROM (SELECT id FROM Messages WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3) AS e UNION SELECT id FROM (SELECT id FROM Channels WHERE id > $4 AND id <= $5 ORDER BY id LIMIT $6) AS c) AS n ORDER BY n.id
SELECT id, position, (SELECT MAX(id) FROM Channels) FROM StoreLock
SELECT c.id, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.id = $1
SELECT c.id, c.maxseq, c.msgs, c.bytes, (SELECT seq FROM Messages WHERE id = c.id AND seq > $1 ORDER BY seq LIMIT 1), (SELECT seq FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1), (SELECT timestamp FROM Messages WHERE id = c.id ORDER BY seq DESC LIMIT 1) FROM Channels AS c WHERE c.id = $2
SELECT COALESCE(MAX(subid), 0) FROM (SELECT MAX(subid) AS subid FROM Subscriptions UNION ALL SELECT MAX(subid) AS subid FROM SubsPending UNION ALL SELECT MAX(consumer) AS subid FROM Consumers UNION ALL SELECT MAX(consumer) AS subid FROM ConsumersRedelivered UNION ALL SELECT MAX(consumer) AS subid FROM NamedConsumers UNION ALL SELECT MAX(consumer) AS subid FROM Parked) AS ids
SELECT id, subid, lastsent, proto, kind FROM Subscriptions WHERE deleted = FALSE ORDER BY subid
INSERT INTO Subscriptions (id, subid, proto, client, name, kind) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id, subid) DO UPDATE SET proto = excluded.proto, client = excluded.client, name = excluded.name, kind = excluded.kind
DELETE FROM Subscriptions WHERE id = $1 AND subid = $2
SELECT subid, p.row, seq, lastsent, pending, acks FROM SubsPending AS p
DELETE FROM SubsPending WHERE subid = $1
DELETE FROM SubsPending WHERE subid = $1 AND SubsPending.row <> 0
SELECT consumer, id, lastsent, members FROM Consumers ORDER BY consumer
SELECT consumer, part, pending FROM ConsumersPending ORDER BY consumer, part
DELETE FROM Consumers WHERE consumer = $1
DELETE FROM ConsumersPending WHERE consumer = $1
DELETE FROM Consumers WHERE id = $1
DELETE FROM ConsumersPending WHERE consumer IN (SELECT consumer FROM Consumers WHERE id = $1)
SELECT consumer, pattern FROM Wildcards
INSERT INTO Wildcards (consumer, pattern) VALUES ($1, $2) ON CONFLICT (consumer) DO UPDATE SET pattern = excluded.pattern
DELETE FROM Wildcards WHERE consumer = $1
SELECT position, chain FROM Messages WHERE position IS NOT NULL AND chain IS NOT NULL ORDER BY position DESC LIMIT 1
SELECT position, id, seq, timestamp, event_id, event_type, aggregate_type, aggregate_id, event_version, appender, data FROM Messages WHERE position > $1 ORDER BY position LIMIT $2
INSERT INTO ChainHeads (position, hash, time, cluster_id, public_key, signature) VALUES ($1, $2, $3, $4, $5, $6)
SELECT position, hash, time, cluster_id, public_key, signature FROM ChainHeads ORDER BY position DESC LIMIT 1
SELECT id, time, principal, address, action, target, detail FROM AuditEntries WHERE id < $1 ORDER BY id DESC LIMIT $2
SELECT COALESCE(MAX(id), 0) FROM Appenders
SELECT id FROM Appenders WHERE principal = $1 AND client_id = $2 AND address = $3
INSERT INTO Appenders (id, principal, client_id, address) VALUES ($1, $2, $3, $4)
SELECT a.principal, a.client_id, a.address FROM Messages AS m JOIN Appenders AS a ON a.id = m.appender WHERE m.id = $1 AND m.seq = $2
SELECT consumer, channel, client, name, settings FROM NamedConsumers ORDER BY consumer
INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (consumer) DO UPDATE SET channel = excluded.channel, client = excluded.client, name = excluded.name, settings = excluded.settings
DELETE FROM NamedConsumers WHERE consumer = $1
DELETE FROM NamedConsumers WHERE channel = $1
SELECT consumer, ordering_key, COUNT(*) FROM Parked GROUP BY consumer, ordering_key
SELECT seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked WHERE consumer = $1 AND seq > $2 ORDER BY seq LIMIT $3
DELETE FROM Parked WHERE consumer = $1
DELETE FROM Parked WHERE consumer IN (SELECT consumer FROM NamedConsumers WHERE channel = $1)
SELECT consumer, part, counts FROM ConsumersRedelivered ORDER BY consumer, part
DELETE FROM ConsumersRedelivered WHERE consumer = $1
DELETE FROM ConsumersRedelivered WHERE consumer IN (SELECT consumer FROM Consumers WHERE id = $1)
SELECT id, seq FROM CancelledDeliveries ORDER BY id, seq
INSERT INTO CancelledDeliveries (id, seq) VALUES ($1, $2) ON CONFLICT (id, seq) DO NOTHING
DELETE FROM CancelledDeliveries WHERE id = $1
SELECT COALESCE(MAX(id), 0) FROM AuditEntries
INSERT INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING
SELECT COALESCE(MAX(id), 0) FROM Erasures
INSERT INTO Erasures (id, requested, principal, reason, selector, state, events, copies, erased) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0) ON CONFLICT (id) DO NOTHING
SELECT state FROM Erasures WHERE id = $1
UPDATE Erasures SET state = $1, selector = '', events = $2, copies = $3, erased = $4 WHERE id = $5
DELETE FROM ErasedMessages WHERE erasure = $1
UPDATE Erasures SET state = $1 WHERE id = $2 AND state = $3
SELECT id, requested, principal, reason, selector, state, events, copies, erased FROM Erasures WHERE id < $1 ORDER BY id DESC LIMIT $2
SELECT id, requested, principal, reason, selector, state, events, copies, erased FROM Erasures WHERE state <> 'done' ORDER BY id
SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq LIMIT $4
SELECT seq, timestamp FROM Messages WHERE id = $1 AND seq >= $2 ORDER BY seq LIMIT 1
SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE aggregate_id = $1 AND aggregate_type = $2 AND id = $3 AND event_version >= $4 ORDER BY event_version LIMIT $5
SELECT seq, timestamp, data, event_version, position, erased FROM Messages WHERE aggregate_id = $1 AND aggregate_type = $2 AND id = $3 AND event_version <= $4 ORDER BY event_version DESC LIMIT $5
SELECT DISTINCT id, aggregate_type FROM Messages WHERE aggregate_id = $1 ORDER BY id, aggregate_type
SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE event_id = $1 ORDER BY id
SELECT 1 FROM Messages WHERE id = $1 AND event_type IS NOT NULL LIMIT 1
SELECT COUNT(*), COALESCE(SUM(size), 0) FROM Messages WHERE id = $1 AND seq >= $2 AND seq <= $3
DELETE FROM Messages WHERE id = $1 AND seq >= $2 AND seq <= $3
UPDATE Channels SET msgs = msgs - $1, bytes = bytes - $2 WHERE id = $3
SELECT id FROM Channels WHERE deleted = TRUE ORDER BY id
UPDATE Channels SET deleted = TRUE WHERE id = $1
DELETE FROM SubsPending WHERE subid IN (SELECT subid FROM Subscriptions WHERE id = $1)
DELETE FROM Subscriptions WHERE id = $1
DELETE FROM Channels WHERE id = $1
SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3
SELECT id, seq, timestamp, data, event_version, position, erased FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position DESC LIMIT $3
SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3
SELECT id, seq, timestamp, data, event_version, position, erased, event_type, aggregate_type, aggregate_id, metadata, tags FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position DESC LIMIT $3
SELECT position FROM Messages WHERE (event_type, position) >= ($1, $2) AND (event_type, position) <= ($3, $4) AND event_type IS NOT NULL ORDER BY event_type, position LIMIT $5
SELECT position FROM Messages WHERE (event_type, position) >= ($1, $2) AND (event_type, position) <= ($3, $4) AND event_type IS NOT NULL ORDER BY event_type DESC, position DESC LIMIT $5
SELECT position FROM EventTags WHERE tag = $1 AND position >= $2 AND position <= $3 ORDER BY position LIMIT $4
SELECT position FROM EventTags WHERE tag = $1 AND position >= $2 AND position <= $3 ORDER BY position DESC LIMIT $4
SELECT position FROM Messages WHERE aggregate_id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 LIMIT $4
SELECT position FROM Messages WHERE aggregate_id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 DESC LIMIT $4
SELECT position FROM Messages WHERE id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 LIMIT $4
SELECT position FROM Messages WHERE id = $1 AND position + 0 >= $2 AND position + 0 <= $3 ORDER BY position + 0 DESC LIMIT $4
SELECT position, timestamp FROM Messages WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT 1
SELECT position FROM TimeSteps ORDER BY position
