-- Events are immutable: UPDATE and DELETE of event rows are refused, whoever asks.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS events_are_immutable_update BEFORE UPDATE ON Messages
WHEN OLD.event_type IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS events_are_immutable_delete BEFORE DELETE ON Messages
WHEN OLD.event_type IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: DELETE refused');
END;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 3, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 3);
