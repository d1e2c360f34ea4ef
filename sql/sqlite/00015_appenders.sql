-- Who appended a message: recorded if the server is told to (record_appenders).
-- The file can be run by hand. It records its own version. A second run stops at its first statement and changes nothing, since
-- SQLite can not add a column "if it is absent": sqlite3 -bail.

-- +goose Up

-- The id of a row of Appenders; NULL if it was not recorded.
ALTER TABLE Messages ADD COLUMN appender INTEGER;

-- One row for each principal, client ID of NATS Streaming and address that have appended. What is not known is empty. Rows do not change.
CREATE TABLE IF NOT EXISTS Appenders (
    id INTEGER NOT NULL,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS Idx_Appenders ON Appenders (principal, client_id, address);

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS appenders_are_immutable_update BEFORE UPDATE ON Appenders
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: UPDATE refused');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER IF NOT EXISTS appenders_are_immutable_delete BEFORE DELETE ON Appenders
BEGIN
    SELECT RAISE(ABORT, 'the audit is immutable: DELETE refused');
END;
-- +goose StatementEnd

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 15, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 15);
