-- Indexes of the event columns, and the view "events".
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The conditions keep messages that are no events out of the indexes; "aggregate_id = ?" implies them.
CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsAggregate
    ON Messages (aggregate_id, aggregate_type, event_version, id) WHERE aggregate_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS Idx_MsgsEventType
    ON Messages (event_type, id, seq) WHERE event_type IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsEventID
    ON Messages (event_id, id) WHERE event_id IS NOT NULL;

CREATE UNIQUE INDEX IF NOT EXISTS Idx_ChannelsLiveName ON Channels (name) WHERE deleted = FALSE;

-- time is UTC, in ISO 8601 with microseconds, which SQLite's date functions take.
CREATE VIEW IF NOT EXISTS events AS
SELECT
    c.name AS channel,
    m.seq AS sequence,
    strftime('%Y-%m-%dT%H:%M:%S', m.timestamp / 1000000000, 'unixepoch')
        || printf('.%06dZ', m.timestamp / 1000 % 1000000) AS time,
    m.event_id,
    m.aggregate_type,
    m.aggregate_id,
    m.event_version,
    m.event_type,
    m.event_data,
    m.metadata
FROM Messages AS m
JOIN Channels AS c ON c.id = m.id
WHERE m.event_type IS NOT NULL;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 2, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 2);
