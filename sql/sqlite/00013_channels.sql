-- A new channel costs the same, however many events there are: the triggers look for an existing channel first. Without statistics,
-- SQLite would otherwise begin with the events. The file can be run by hand, and more than once; it records its own version.

-- +goose Up

DROP TRIGGER IF EXISTS channels_keep_events_update;
-- +goose StatementBegin
CREATE TRIGGER channels_keep_events_update BEFORE UPDATE ON Channels
WHEN (NEW.maxseq < OLD.maxseq OR NEW.id IS NOT OLD.id OR NEW.name IS NOT OLD.name
        OR NEW.deleted IS NOT OLD.deleted AND NEW.deleted IS NOT 0)
    AND EXISTS (SELECT 1 FROM Messages WHERE id = OLD.id AND event_type IS NOT NULL)
    OR (NEW.id IS NOT OLD.id OR NEW.name IS NOT OLD.name OR NEW.deleted IS NOT OLD.deleted)
    AND EXISTS (SELECT 1 FROM Channels AS c CROSS JOIN Messages AS m ON m.id = c.id
        WHERE c.id <> OLD.id AND (c.id = NEW.id OR c.name = NEW.name AND c.deleted = 0) AND m.event_type IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE of their channel refused');
END;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS channels_keep_events_insert;
-- +goose StatementBegin
CREATE TRIGGER channels_keep_events_insert BEFORE INSERT ON Channels
WHEN EXISTS (SELECT 1 FROM Channels AS c CROSS JOIN Messages AS m ON m.id = c.id
    WHERE (c.id = NEW.id OR c.name = NEW.name AND c.deleted = 0) AND m.event_type IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: INSERT OR REPLACE of their channel refused');
END;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 13, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 13);
