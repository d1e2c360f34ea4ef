-- Who appended a message: recorded if the server is told to (record_appenders).
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- The id of a row of Appenders; NULL if it was not recorded.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'appender') = 0,
    'ALTER TABLE Messages ADD COLUMN appender BIGINT',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

SET SESSION lock_wait_timeout = DEFAULT;

-- One row for each principal, client ID of NATS Streaming and address that have appended. What is not known is empty. Rows do not change.
CREATE TABLE IF NOT EXISTS Appenders (
    id BIGINT NOT NULL,
    principal VARCHAR(255) NOT NULL,
    client_id VARCHAR(255) NOT NULL,
    address VARCHAR(255) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE INDEX Idx_Appenders (principal, client_id, address)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */;

-- 00003_immutable.sql says why a trigger looks like this.
DROP TRIGGER IF EXISTS appenders_are_immutable_update;
CREATE TRIGGER appenders_are_immutable_update BEFORE UPDATE ON Appenders FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: UPDATE refused');
DROP TRIGGER IF EXISTS appenders_are_immutable_delete;
CREATE TRIGGER appenders_are_immutable_delete BEFORE DELETE ON Appenders FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: DELETE refused');

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 15, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 15);
