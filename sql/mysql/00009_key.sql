-- A key for the lease, as each other table has one: clusters and servers that require keys refuse changes of a table without
-- one. It has one value, so that there is one row.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose NO TRANSACTION
-- +goose Up

-- The change of the table waits for its readers, such as a backup, and a server that leads would wait behind it.
SET SESSION lock_wait_timeout = 2;
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'StoreLock' AND column_name = 'uniquerow') = 0,
    'ALTER TABLE StoreLock ADD COLUMN uniquerow INT NOT NULL DEFAULT 1, ADD PRIMARY KEY (uniquerow)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET SESSION lock_wait_timeout = DEFAULT;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 9, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 9);
