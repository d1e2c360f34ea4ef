-- Settings of durables and queue groups, parked messages, and what administrators did.
-- The file can be run by hand, and more than once; it records its own version. A step that was interrupted is done again.

-- +goose NO TRANSACTION
-- +goose Up

-- Changes of the tables wait for their readers, such as a backup, and a server that leads would wait behind them.
SET SESSION lock_wait_timeout = 2;

-- What proto says, for SQL: the client, the name of the durable or queue group, and "durable", "queue group", "durable queue group"
-- or "subscription". NULL until the server writes them, which it does at the latest when it takes the lease.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Subscriptions' AND column_name = 'kind') = 0,
    'ALTER TABLE Subscriptions
        ADD COLUMN client TEXT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN name TEXT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN kind VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

SET SESSION lock_wait_timeout = DEFAULT;

-- One row for each durable or queue group with settings or parked messages. It stays when the group ends. channel may be a pattern;
-- client is empty for a queue group; settings is a JSON object. A name that no text can hold is a quoted string of Go.
CREATE TABLE IF NOT EXISTS NamedConsumers (
    consumer BIGINT UNSIGNED NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    settings MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */;

-- Messages taken from their consumer, which is one of NamedConsumers: a reference, no payload. seq is the sequence in the channel, or
-- the position if channel is a pattern; the times are ns since 1970, 0 for a message that was never delivered.
CREATE TABLE IF NOT EXISTS Parked (
    consumer BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    deliveries BIGINT NOT NULL,
    first_delivery BIGINT NOT NULL,
    last_delivery BIGINT NOT NULL,
    ordering_key VARCHAR(255) NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (consumer, seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */;

-- How often the messages in ConsumersPending were sent again, in the same parts, as a JSON array of [first sequence, last sequence,
-- redeliveries, time of the first delivery, time of the next]. The times are s since 1970; the last is 0 if there is nothing to wait for.
CREATE TABLE IF NOT EXISTS ConsumersRedelivered (
    consumer BIGINT UNSIGNED NOT NULL,
    part BIGINT UNSIGNED NOT NULL,
    counts MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer, part)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Events whose delayed delivery was cancelled; id is that of the channel.
CREATE TABLE IF NOT EXISTS CancelledDeliveries (
    id INTEGER NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (id, seq)
) ENGINE = InnoDB;

-- What administrators did, and when, in ns since 1970. Rows do not change.
CREATE TABLE IF NOT EXISTS AuditEntries (
    id BIGINT UNSIGNED NOT NULL,
    time BIGINT NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- 00003_immutable.sql says why a trigger looks like this.
DROP TRIGGER IF EXISTS audit_is_immutable_update;
CREATE TRIGGER audit_is_immutable_update BEFORE UPDATE ON AuditEntries FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: UPDATE refused');
DROP TRIGGER IF EXISTS audit_is_immutable_delete;
CREATE TRIGGER audit_is_immutable_delete BEFORE DELETE ON AuditEntries FOR EACH ROW
    SET lc_time_names = IF(OLD.id IS NULL, @@lc_time_names, 'the audit is immutable: DELETE refused');

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 12, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 12);
