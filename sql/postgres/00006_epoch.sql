-- The epoch of the lease, which ends when the lease is taken and when the outcome of a batch is unknown: a batch that names
-- a former one has no effect, however late it comes.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The change of the table waits for its readers, such as a backup, and a server that leads would wait behind it.
SET LOCAL lock_timeout = '2s';
ALTER TABLE StoreLock ADD COLUMN IF NOT EXISTS epoch BIGINT NOT NULL DEFAULT 0;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 6, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 6);
