-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Subscriptions' AND column_name = 'kind') = 0,
    'ALTER TABLE Subscriptions
        ADD COLUMN client TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
        ADD COLUMN name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
        ADD COLUMN kind VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

SET SESSION lock_wait_timeout = DEFAULT;

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer BIGINT UNSIGNED NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    settings MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    deliveries BIGINT NOT NULL,
    first_delivery BIGINT NOT NULL,
    last_delivery BIGINT NOT NULL,
    ordering_key VARCHAR(255) NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */;

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer BIGINT UNSIGNED NOT NULL,
    part BIGINT UNSIGNED NOT NULL,
    counts MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer, part)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (id, seq)
) ENGINE = InnoDB;

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id BIGINT UNSIGNED NOT NULL,
    time BIGINT NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- 00003_immutable.sql says why a trigger looks like this.
DROP TRIGGER IF EXISTS audit_is_immutable_update;
CREATE TRIGGER audit_is_immutable_update BEFORE UPDATE ON AuditEntries FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: UPDATE refused');
DROP TRIGGER IF EXISTS audit_is_immutable_delete;
CREATE TRIGGER audit_is_immutable_delete BEFORE DELETE ON AuditEntries FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: DELETE refused');

-- Durables and queue groups, with what is left of their work, as the metrics of the server have it. (Consumers is the name of a table.)
-- The second half has settings and parked messages, also of those that have ended.
-- A damaged row is left out of the sums, and no query fails.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW consumer_status AS
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
        GREATEST(0, COALESCE(UNIX_TIMESTAMP(NOW(6)) - CASE WHEN o.id IS NULL
            THEN (SELECT e.timestamp FROM Messages AS e FORCE INDEX (Idx_MsgsPosition) WHERE e.position >= o.first_seq ORDER BY e.position LIMIT 1)
            ELSE (SELECT m.timestamp FROM Messages AS m FORCE INDEX (PRIMARY) WHERE m.id = o.id AND m.seq >= o.first_seq ORDER BY m.seq LIMIT 1)
        END / 1000000000, 0)) AS lag_seconds,
        o.unacknowledged, o.waiting, 0 AS parked, o.subscriptions
    FROM (
        SELECT
            l.*,
            IF(l.next_seq <= l.last_seq, l.last_seq - l.next_seq + 1, 0) AS unsent,
            IF(l.next_seq <= l.last_seq, LEAST(l.next_seq, COALESCE(l.pending_seq, l.next_seq)), l.pending_seq) AS first_seq
        FROM (
            SELECT
                COALESCE(c.name, w.pattern) AS channel,
                IF(s.kind = 'durable', s.client, '') AS client,
                s.name,
                s.kind,
                c.id,
                CAST(k.lastsent AS SIGNED) AS lastsent,
                JSON_LENGTH(IF(JSON_VALID(k.members), k.members, '[]')) AS subscriptions,
                COALESCE(u.unacknowledged, 0) AS unacknowledged,
                COALESCE(u.waiting, 0) AS waiting,
                u.pending_seq,
                GREATEST(CAST(k.lastsent AS SIGNED) + 1, COALESCE((SELECT CAST(f.seq AS SIGNED) FROM Messages AS f FORCE INDEX (PRIMARY) WHERE f.id = c.id ORDER BY f.seq LIMIT 1), 0)) AS next_seq,
                CASE WHEN k.id = 0 THEN (SELECT MAX(e.position) FROM Messages AS e) WHEN c.msgs > 0 THEN CAST(c.maxseq AS SIGNED) END AS last_seq
            FROM Consumers AS k
            JOIN Subscriptions AS s ON s.id = k.id AND s.subid = CAST(REGEXP_SUBSTR(k.members, '[0-9]+') AS UNSIGNED)
            LEFT JOIN Channels AS c ON c.id = k.id
            LEFT JOIN Wildcards AS w ON w.consumer = k.consumer AND k.id = 0
            LEFT JOIN (
                SELECT
                    p.consumer,
                    CAST(SUM(r.last_seq - r.first_seq + 1) AS SIGNED) AS unacknowledged,
                    CAST(SUM(IF(r.subscription = 0, r.last_seq - r.first_seq + 1, 0)) AS SIGNED) AS waiting,
                    MIN(r.first_seq) AS pending_seq
                FROM ConsumersPending AS p
                JOIN JSON_TABLE(IF(JSON_VALID(p.pending), p.pending, '[]'), '$[*]'
                    COLUMNS (subscription BIGINT PATH '$[0]', first_seq BIGINT PATH '$[1]', last_seq BIGINT PATH '$[2]')) AS r
                WHERE r.first_seq <= r.last_seq
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
CREATE OR REPLACE SQL SECURITY INVOKER VIEW parked_messages AS
SELECT
    n.channel,
    n.client,
    n.name,
    p.seq AS sequence,
    p.deliveries,
    TIMESTAMPADD(MICROSECOND, NULLIF(p.first_delivery, 0) DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS first_delivery,
    TIMESTAMPADD(MICROSECOND, NULLIF(p.last_delivery, 0) DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS last_delivery,
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
LEFT JOIN Messages AS m FORCE INDEX (PRIMARY) ON m.id = c.id AND m.seq = p.seq
LEFT JOIN Messages AS e FORCE INDEX (Idx_MsgsPosition) ON e.position = p.seq AND n.channel REGEXP '[*>]';

CREATE OR REPLACE SQL SECURITY INVOKER VIEW audit_log AS
SELECT a.id, TIMESTAMPADD(MICROSECOND, a.time DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS time, a.principal, a.address, a.action, a.target, a.detail
FROM AuditEntries AS a;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
