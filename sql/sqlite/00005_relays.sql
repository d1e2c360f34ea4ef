-- How far the relays to JetStream are.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- One row for each stream; position is a JSON object of the relay's.
CREATE TABLE IF NOT EXISTS Relays (
    stream VARCHAR(255) NOT NULL,
    position BLOB NOT NULL,
    PRIMARY KEY (stream)
);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 5, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 5);
