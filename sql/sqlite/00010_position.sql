-- One order over all events: their positions. And their tags.
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- position is that of the event among all events, from 1, without gaps, in the order of commits; tags is a JSON array of strings.
-- Both are NULL in a row that is no event; tags also in an event without any. The server numbers older events when it takes the
-- lease, and migrate does.
ALTER TABLE Messages ADD COLUMN position INTEGER;
ALTER TABLE Messages ADD COLUMN tags TEXT;

-- The position of the last event; NULL until all older events have theirs.
ALTER TABLE StoreLock ADD COLUMN position INTEGER;

CREATE UNIQUE INDEX IF NOT EXISTS Idx_MsgsPosition
    ON Messages (position) WHERE position IS NOT NULL;
CREATE INDEX IF NOT EXISTS Idx_MsgsTypePosition
    ON Messages (event_type, position) WHERE position IS NOT NULL;

-- One row for each tag of each event.
CREATE TABLE IF NOT EXISTS EventTags (
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) WITHOUT ROWID;

-- The positions whose event is older than the one before: the first of those that were numbered late. Otherwise, times do not
-- step back along positions.
CREATE TABLE IF NOT EXISTS TimeSteps (
    position INTEGER NOT NULL,
    PRIMARY KEY (position)
);

-- An event that has no position yet gets one. Nothing else of it changes.
DROP TRIGGER IF EXISTS events_are_immutable_update;
-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS events_are_immutable_update BEFORE UPDATE ON Messages
WHEN OLD.event_type IS NOT NULL AND (OLD.position IS NOT NULL OR NEW.position IS NULL
    OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq OR NEW.timestamp IS NOT OLD.timestamp OR NEW.size IS NOT OLD.size OR NEW.data IS NOT OLD.data
    OR NEW.event_id IS NOT OLD.event_id OR NEW.aggregate_type IS NOT OLD.aggregate_type OR NEW.aggregate_id IS NOT OLD.aggregate_id
    OR NEW.event_version IS NOT OLD.event_version OR NEW.event_type IS NOT OLD.event_type
    OR NEW.event_data IS NOT OLD.event_data OR NEW.metadata IS NOT OLD.metadata OR NEW.tags IS NOT OLD.tags)
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS tags_are_immutable_update BEFORE UPDATE ON EventTags
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE of their tags refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS tags_are_immutable_delete BEFORE DELETE ON EventTags
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: DELETE of their tags refused');
END;
-- +goose StatementEnd

DROP VIEW IF EXISTS events;
CREATE VIEW events AS
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
    m.metadata,
    m.position,
    m.tags
FROM Messages AS m
JOIN Channels AS c ON c.id = m.id
WHERE m.event_type IS NOT NULL;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 10, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 10);
