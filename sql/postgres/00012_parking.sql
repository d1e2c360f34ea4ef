-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
ALTER TABLE Subscriptions
    ADD COLUMN IF NOT EXISTS client TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS name TEXT COLLATE "C",
    ADD COLUMN IF NOT EXISTS kind TEXT COLLATE "C";

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer BIGINT NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (consumer)
);

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    first_delivery BIGINT NOT NULL,
    last_delivery BIGINT NOT NULL,
    ordering_key TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
);

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer BIGINT NOT NULL,
    part BIGINT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (consumer, part)
);

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (id, seq)
);

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id BIGINT NOT NULL,
    time BIGINT NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION eventstore_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS audit_is_immutable ON AuditEntries;
CREATE TRIGGER audit_is_immutable BEFORE UPDATE OR DELETE ON AuditEntries
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit();
DROP TRIGGER IF EXISTS audit_is_not_truncated ON AuditEntries;
CREATE TRIGGER audit_is_not_truncated BEFORE TRUNCATE ON AuditEntries
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit();

-- Durables and queue groups, with what is left of their work, as the metrics of the server have it. (Consumers is the name of a table.)
-- The second half has settings and parked messages, also of those that have ended.
-- A damaged row is left out of the sums, and no query fails. OFFSET 0 keeps a subquery from being evaluated once for each use of its
-- columns.
CREATE OR REPLACE VIEW consumer_status AS
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
        COALESCE(c.name, w.pattern) COLLATE "C" AS channel,
        CASE WHEN s.kind = 'durable' THEN s.client ELSE '' END AS client,
        s.name,
        s.kind,
        NULL AS settings,
        k.lastsent AS position,
        o.unsent + COALESCE(u.unacknowledged, 0)::bigint AS lag_messages,
        COALESCE(GREATEST(0, EXTRACT(EPOCH FROM now()) - CASE WHEN c.id IS NULL
            THEN (SELECT e.timestamp FROM Messages AS e WHERE e.position >= o.first_seq ORDER BY e.position LIMIT 1)
            ELSE (SELECT m.timestamp FROM Messages AS m WHERE m.id = c.id AND m.seq >= o.first_seq ORDER BY m.seq LIMIT 1)
        END / 1000000000.0), 0)::double precision AS lag_seconds,
        COALESCE(u.unacknowledged, 0)::bigint AS unacknowledged,
        COALESCE(u.waiting, 0)::bigint AS waiting,
        0 AS parked,
        (SELECT COUNT(*) FROM regexp_matches(k.members, '[0-9]+', 'g')) AS subscriptions
    FROM Consumers AS k
    JOIN Subscriptions AS s ON s.id = k.id AND s.subid = substring(k.members FROM '[0-9]{1,18}')::bigint
    LEFT JOIN Channels AS c ON c.id = k.id
    LEFT JOIN Wildcards AS w ON w.consumer = k.consumer AND k.id = 0
    LEFT JOIN LATERAL (
        SELECT
            SUM(r.last_seq - r.first_seq + 1) AS unacknowledged,
            SUM(r.last_seq - r.first_seq + 1) FILTER (WHERE r.subscription = 0) AS waiting,
            MIN(r.first_seq) AS first_seq
        FROM ConsumersPending AS p
        CROSS JOIN LATERAL jsonb_array_elements(CASE
            WHEN p.pending ~ '^[[]([[][0-9]{1,18},[0-9]{1,18},[0-9]{1,18}[]](,[[][0-9]{1,18},[0-9]{1,18},[0-9]{1,18}[]])*)?[]]$' THEN p.pending::jsonb
        END) AS m (run)
        CROSS JOIN LATERAL (SELECT (m.run->>0)::bigint AS subscription, (m.run->>1)::bigint AS first_seq, (m.run->>2)::bigint AS last_seq OFFSET 0) AS r
        WHERE p.consumer = k.consumer AND r.first_seq <= r.last_seq
    ) AS u ON TRUE
    CROSS JOIN LATERAL (
        SELECT
            GREATEST(k.lastsent + 1, CASE WHEN k.id <> 0 THEN (SELECT f.seq FROM Messages AS f WHERE f.id = k.id ORDER BY f.seq LIMIT 1) END) AS next_seq,
            CASE WHEN k.id = 0 THEN (SELECT MAX(e.position) FROM Messages AS e) WHEN c.msgs > 0 THEN c.maxseq END AS last_seq
        OFFSET 0
    ) AS l
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN l.next_seq <= l.last_seq THEN l.last_seq - l.next_seq + 1 ELSE 0 END AS unsent,
            LEAST(u.first_seq, CASE WHEN l.next_seq <= l.last_seq THEN l.next_seq END) AS first_seq
        OFFSET 0
    ) AS o
    WHERE s.kind <> 'subscription' AND (w.consumer IS NOT NULL OR NOT c.deleted)
    UNION ALL
    SELECT n.channel, n.client, n.name, NULL, n.settings, NULL, NULL, NULL, NULL, NULL, (SELECT COUNT(*) FROM Parked AS p WHERE p.consumer = n.consumer), 0
    FROM NamedConsumers AS n
) AS g
GROUP BY g.channel, g.client, g.name;

-- Parked messages, and the events that they are. For a consumer of a pattern, sequence is a position.
CREATE OR REPLACE VIEW parked_messages AS
SELECT
    n.channel,
    n.client,
    n.name,
    p.seq AS sequence,
    p.deliveries,
    to_timestamp((NULLIF(p.first_delivery, 0) / 1000)::double precision / 1000000) AS first_delivery,
    to_timestamp((NULLIF(p.last_delivery, 0) / 1000)::double precision / 1000000) AS last_delivery,
    p.ordering_key,
    p.reason,
    COALESCE(m.event_id, e.event_id) AS event_id,
    COALESCE(m.event_type, e.event_type) AS event_type,
    COALESCE(m.aggregate_type, e.aggregate_type) AS aggregate_type,
    COALESCE(m.aggregate_id, e.aggregate_id) AS aggregate_id,
    COALESCE(m.position, e.position) AS position
FROM NamedConsumers AS n
JOIN Parked AS p ON p.consumer = n.consumer
LEFT JOIN Channels AS c ON c.name = n.channel COLLATE "default" AND NOT c.deleted
LEFT JOIN Messages AS m ON m.id = c.id AND m.seq = p.seq
LEFT JOIN Messages AS e ON e.position = p.seq AND n.channel ~ '[*>]';

CREATE OR REPLACE VIEW audit_log AS
SELECT a.id, to_timestamp((a.time / 1000)::double precision / 1000000) AS time, a.principal, a.address, a.action, a.target, a.detail
FROM AuditEntries AS a;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
