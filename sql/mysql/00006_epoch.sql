-- The epoch of the lease, which ends when the lease is taken and when the outcome of a batch is unknown: a batch that names
-- a former one has no effect, however late it comes.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose NO TRANSACTION
-- +goose Up

-- The change of the table waits for its readers, such as a backup, and a server that leads would wait behind it.
SET SESSION lock_wait_timeout = 2;
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'StoreLock' AND column_name = 'epoch') = 0,
    'ALTER TABLE StoreLock ADD COLUMN epoch BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET SESSION lock_wait_timeout = DEFAULT;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 6, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 6);
