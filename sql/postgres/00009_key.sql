-- A key for the lease, as each other table has one: without it, a publication FOR ALL TABLES, which tools for change data
-- capture create, would refuse to update the row. It has one value, so that there is one row.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose Up

-- The change of the table waits for its readers, such as a backup, and a server that leads would wait behind it.
SET LOCAL lock_timeout = '2s';
ALTER TABLE StoreLock ADD COLUMN IF NOT EXISTS uniquerow INTEGER NOT NULL DEFAULT 1 PRIMARY KEY;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 9, TRUE WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 9);
