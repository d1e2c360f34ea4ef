-- Who appended a message: recorded if the server is told to (record_appenders).
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET LOCAL lock_timeout = '2s';

-- The id of a row of Appenders; NULL if it was not recorded.
ALTER TABLE Messages ADD COLUMN IF NOT EXISTS appender BIGINT;

-- One row for each principal, client ID of NATS Streaming and address that have appended. What is not known is empty. Rows do not change.
CREATE TABLE IF NOT EXISTS Appenders (
    id BIGINT NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (principal, client_id, address)
);

DROP TRIGGER IF EXISTS appenders_are_immutable ON Appenders;
CREATE TRIGGER appenders_are_immutable BEFORE UPDATE OR DELETE ON Appenders
    FOR EACH ROW EXECUTE FUNCTION eventstore_keep_audit();
DROP TRIGGER IF EXISTS appenders_are_not_truncated ON Appenders;
CREATE TRIGGER appenders_are_not_truncated BEFORE TRUNCATE ON Appenders
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore_keep_audit();

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 15, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 15);
