-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
ALTER TABLE Subscriptions ADD COLUMN client TEXT;
ALTER TABLE Subscriptions ADD COLUMN name TEXT;
ALTER TABLE Subscriptions ADD COLUMN kind TEXT;

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer INTEGER NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (consumer)
);

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    first_delivery INTEGER NOT NULL,
    last_delivery INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
) WITHOUT ROWID;

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer INTEGER NOT NULL,
    part INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (consumer, part)
);

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (id, seq)
) WITHOUT ROWID;

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id INTEGER NOT NULL,
    time INTEGER NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS audit_is_immutable_update BEFORE UPDATE ON AuditEntries
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS audit_is_immutable_delete BEFORE DELETE ON AuditEntries
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: DELETE refused');
END;
-- +goose StatementEnd

-- Durables and queue groups, with what is left of their work, as the metrics of the server have it. (Consumers is the name of a table.)
-- The second half has settings and parked messages, also of those that have ended.
-- A damaged row is left out of the sums, and no query fails.
CREATE VIEW IF NOT EXISTS consumer_status AS
SELECT
    g.channel,
    g.client,
    g.name,
    MAX(g.kind) AS kind,
    COALESCE(MAX(g.settings), '{}') AS settings,
    MAX(g.position) AS position,
    MAX(g.lag_messages) AS lag_messages,
    MAX(g.lag_seconds) AS lag_seconds,
    MAX(g.unacknowledged) AS unacknowledged,
    MAX(g.waiting) AS waiting,
    MAX(g.parked) AS parked,
    MAX(g.subscriptions) AS subscriptions
FROM (
    SELECT
        o.channel, o.client, o.name, o.kind, NULL AS settings, o.lastsent AS position,
        o.unsent + o.unacknowledged AS lag_messages,
        MAX(0.0, COALESCE((julianday('now') - 2440587.5) * 86400 - CASE WHEN o.id IS NULL
            THEN (SELECT e.timestamp FROM Messages AS e WHERE e.position >= o.first_seq ORDER BY e.position LIMIT 1)
            ELSE (SELECT m.timestamp FROM Messages AS m WHERE m.id = o.id AND m.seq >= o.first_seq ORDER BY m.seq LIMIT 1)
        END / 1000000000.0, 0.0)) AS lag_seconds,
        o.unacknowledged, o.waiting, 0 AS parked, o.subscriptions
    FROM (
        SELECT
            l.*,
            CASE WHEN l.next_seq <= l.last_seq THEN l.last_seq - l.next_seq + 1 ELSE 0 END AS unsent,
            CASE WHEN l.next_seq <= l.last_seq THEN MIN(l.next_seq, COALESCE(l.pending_seq, l.next_seq)) ELSE l.pending_seq END AS first_seq
        FROM (
            SELECT
                COALESCE(c.name, w.pattern) AS channel,
                CASE WHEN s.kind = 'durable' THEN s.client ELSE '' END AS client,
                s.name,
                s.kind,
                c.id,
                k.lastsent,
                json_array_length(CASE WHEN json_valid(k.members) THEN k.members ELSE '[]' END) AS subscriptions,
                COALESCE(u.unacknowledged, 0) AS unacknowledged,
                COALESCE(u.waiting, 0) AS waiting,
                u.pending_seq,
                MAX(k.lastsent + 1, COALESCE((SELECT f.seq FROM Messages AS f WHERE f.id = c.id ORDER BY f.seq LIMIT 1), 0)) AS next_seq,
                CASE WHEN k.id = 0 THEN (SELECT MAX(e.position) FROM Messages AS e) WHEN c.msgs > 0 THEN c.maxseq END AS last_seq
            FROM Consumers AS k
            JOIN Subscriptions AS s ON s.id = k.id AND s.subid = json_extract(CASE WHEN json_valid(k.members) THEN k.members ELSE '[]' END, '$[0]')
            LEFT JOIN Channels AS c ON c.id = k.id
            LEFT JOIN Wildcards AS w ON w.consumer = k.consumer AND k.id = 0
            LEFT JOIN (
                SELECT
                    p.consumer,
                    SUM(json_extract(r.value, '$[2]') - json_extract(r.value, '$[1]') + 1) AS unacknowledged,
                    SUM(CASE WHEN json_extract(r.value, '$[0]') = 0 THEN json_extract(r.value, '$[2]') - json_extract(r.value, '$[1]') + 1 END) AS waiting,
                    MIN(json_extract(r.value, '$[1]')) AS pending_seq
                FROM ConsumersPending AS p
                JOIN json_each(CASE WHEN json_valid(p.pending) THEN p.pending ELSE '[]' END) AS r ON r.type = 'array'
                    AND json_extract(r.value, '$[1]') <= json_extract(r.value, '$[2]')
                GROUP BY p.consumer
            ) AS u ON u.consumer = k.consumer
            WHERE s.kind <> 'subscription' AND (w.consumer IS NOT NULL OR NOT c.deleted)
        ) AS l
    ) AS o
    UNION ALL
    SELECT n.channel, n.client, n.name, NULL, n.settings, NULL, NULL, NULL, NULL, NULL, (SELECT COUNT(*) FROM Parked AS p WHERE p.consumer = n.consumer), 0
    FROM NamedConsumers AS n
) AS g
GROUP BY g.channel, g.client, g.name;

-- Parked messages, and the events that they are. For a consumer of a pattern, sequence is a position.
CREATE VIEW IF NOT EXISTS parked_messages AS
SELECT
    n.channel,
    n.client,
    n.name,
    p.seq AS sequence,
    p.deliveries,
    CASE WHEN p.first_delivery <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', p.first_delivery / 1000000000, 'unixepoch')
        || printf('.%06dZ', p.first_delivery / 1000 % 1000000) END AS first_delivery,
    CASE WHEN p.last_delivery <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', p.last_delivery / 1000000000, 'unixepoch')
        || printf('.%06dZ', p.last_delivery / 1000 % 1000000) END AS last_delivery,
    p.ordering_key,
    p.reason,
    COALESCE(m.event_id, e.event_id) AS event_id,
    COALESCE(m.event_type, e.event_type) AS event_type,
    COALESCE(m.aggregate_type, e.aggregate_type) AS aggregate_type,
    COALESCE(m.aggregate_id, e.aggregate_id) AS aggregate_id,
    COALESCE(m.position, e.position) AS position
FROM NamedConsumers AS n
JOIN Parked AS p ON p.consumer = n.consumer
LEFT JOIN Channels AS c ON c.name = n.channel AND c.deleted = FALSE
LEFT JOIN Messages AS m ON m.id = c.id AND m.seq = p.seq
LEFT JOIN Messages AS e ON e.position = p.seq AND (instr(n.channel, '*') > 0 OR instr(n.channel, '>') > 0);

CREATE VIEW IF NOT EXISTS audit_log AS
SELECT
    a.id,
    strftime('%Y-%m-%dT%H:%M:%S', a.time / 1000000000, 'unixepoch') || printf('.%06dZ', a.time / 1000 % 1000000) AS time,
    a.principal, a.address, a.action, a.target, a.detail
FROM AuditEntries AS a;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
