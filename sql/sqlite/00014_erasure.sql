-- Events can be erased: their data, metadata and tags. The rest of each event stays in its place.
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- The erasure that replaced the message; NULL for a message that is as it was published.
ALTER TABLE Messages ADD COLUMN erased INTEGER;

-- One row for each erasure; the times are ns since 1970. state is "pending" while its messages are listed, "erased" once they have been
-- erased, and "done" once streams and readers have been told. selector says what is to be erased, as JSON: it may be personal itself, and
-- is empty from "erased" on. Rows stay.
CREATE TABLE IF NOT EXISTS Erasures (
    id INTEGER NOT NULL,
    requested INTEGER NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    selector TEXT NOT NULL,
    state TEXT NOT NULL,
    events INTEGER NOT NULL,
    copies INTEGER NOT NULL,
    erased INTEGER NOT NULL,
    PRIMARY KEY (id)
);

-- The messages of erasures that are not done, and what replaces each. position is that of an event, NULL for a copy of one.
CREATE TABLE IF NOT EXISTS ErasedMessages (
    erasure INTEGER NOT NULL,
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (erasure, id, seq)
) WITHOUT ROWID;

-- An event that has no position yet gets one. An event that a pending erasure lists becomes what is listed there. Nothing else of an
-- event changes.
DROP TRIGGER IF EXISTS events_are_immutable_update;
-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS events_are_immutable_update BEFORE UPDATE ON Messages
WHEN OLD.event_type IS NOT NULL AND (OLD.position IS NOT NULL OR NEW.position IS NULL OR NEW.erased IS NOT OLD.erased
    OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq OR NEW.timestamp IS NOT OLD.timestamp OR NEW.size IS NOT OLD.size OR NEW.data IS NOT OLD.data
    OR NEW.event_id IS NOT OLD.event_id OR NEW.aggregate_type IS NOT OLD.aggregate_type OR NEW.aggregate_id IS NOT OLD.aggregate_id
    OR NEW.event_version IS NOT OLD.event_version OR NEW.event_type IS NOT OLD.event_type
    OR NEW.event_data IS NOT OLD.event_data OR NEW.metadata IS NOT OLD.metadata OR NEW.tags IS NOT OLD.tags)
AND (NEW.erased IS NULL OR NEW.event_data IS NOT NULL OR NEW.metadata IS NOT NULL OR NEW.tags IS NOT NULL
    OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq OR NEW.timestamp IS NOT OLD.timestamp OR NEW.position IS NOT OLD.position
    OR NEW.event_id IS NOT OLD.event_id OR NEW.aggregate_type IS NOT OLD.aggregate_type OR NEW.aggregate_id IS NOT OLD.aggregate_id
    OR NEW.event_version IS NOT OLD.event_version OR NEW.event_type IS NOT OLD.event_type
    OR NOT EXISTS (SELECT 1 FROM ErasedMessages AS e JOIN Erasures AS r ON r.id = e.erasure
        WHERE e.erasure = NEW.erased AND e.id = NEW.id AND e.seq = NEW.seq AND e.data = NEW.data AND r.state = 'pending'))
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- Tags go with the event that has them.
DROP TRIGGER IF EXISTS tags_are_immutable_delete;
-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS tags_are_immutable_delete BEFORE DELETE ON EventTags
WHEN NOT EXISTS (SELECT 1 FROM Messages AS m JOIN ErasedMessages AS e ON e.id = m.id AND e.seq = m.seq JOIN Erasures AS r ON r.id = e.erasure
    WHERE m.position = OLD.position AND r.state = 'pending')
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: DELETE of their tags refused');
END;
-- +goose StatementEnd

-- An erasure proceeds from state to state. Who asked for it, when and why does not change.
-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS erasures_are_immutable_update BEFORE UPDATE ON Erasures
WHEN NEW.id IS NOT OLD.id OR NEW.requested IS NOT OLD.requested OR NEW.principal IS NOT OLD.principal OR NEW.reason IS NOT OLD.reason
    OR OLD.state = 'done' OR OLD.state = 'erased' AND NEW.state = 'pending'
BEGIN
    SELECT RAISE(ABORT, 'erasures are immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS erasures_are_immutable_delete BEFORE DELETE ON Erasures
BEGIN
    SELECT RAISE(ABORT, 'erasures are immutable: DELETE refused');
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
    m.tags,
    m.erased
FROM Messages AS m
JOIN Channels AS c ON c.id = m.id
WHERE m.event_type IS NOT NULL;

CREATE VIEW IF NOT EXISTS erasure_log AS
SELECT
    r.id,
    strftime('%Y-%m-%dT%H:%M:%S', r.requested / 1000000000, 'unixepoch') || printf('.%06dZ', r.requested / 1000 % 1000000) AS requested,
    r.principal, r.reason, r.state, r.events, r.copies,
    CASE WHEN r.erased <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', r.erased / 1000000000, 'unixepoch') || printf('.%06dZ', r.erased / 1000 % 1000000) END AS erased
FROM Erasures AS r;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 14, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 14);
