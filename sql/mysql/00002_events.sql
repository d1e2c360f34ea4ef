-- Event columns of Messages, their indexes, counters of Channels, byte comparison of names, and the view "events".
-- The file can be run by hand, and more than once; it records its own version. A statement that MySQL stopped half-way
-- is done again: each table is changed by one ALTER TABLE, which happens as a whole or not at all.

-- +goose NO TRANSACTION
-- +goose Up

-- All new columns are NULL in a row that is no event. Identifiers compare by bytes, trailing spaces included: the
-- collation that does so has another name on MySQL and on MariaDB, each of which skips the other's comment.
-- data was a BLOB of 64 KB; InnoDB and DYNAMIC are what the indexes need, whatever the server's default once was.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'event_type') = 0,
    'ALTER TABLE Messages
        MODIFY COLUMN data LONGBLOB,
        ADD COLUMN event_id VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN aggregate_type VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN aggregate_id VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN event_version BIGINT,
        ADD COLUMN event_type VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
        ADD COLUMN event_data JSON,
        ADD COLUMN metadata JSON,
        ADD UNIQUE INDEX Idx_MsgsAggregate (aggregate_id, aggregate_type, event_version, id),
        ADD INDEX Idx_MsgsEventType (event_type, id, seq),
        ADD UNIQUE INDEX Idx_MsgsEventID (event_id, id),
        ENGINE = InnoDB, ROW_FORMAT = DYNAMIC',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- maxseq is the high-water sequence of the channel; msgs and bytes are what Messages holds of it now.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Channels' AND column_name = 'msgs') = 0,
    'ALTER TABLE Channels
        MODIFY COLUMN name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        ADD COLUMN msgs BIGINT UNSIGNED NOT NULL DEFAULT 0,
        ADD COLUMN bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
        ENGINE = InnoDB, ROW_FORMAT = DYNAMIC',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Counted once, for the messages of NATS Streaming.
UPDATE Channels AS c
JOIN (SELECT id, COUNT(*) AS msgs, COALESCE(SUM(size), 0) AS bytes, MAX(seq) AS last FROM Messages GROUP BY id) AS m
    ON m.id = c.id
SET c.maxseq = GREATEST(c.maxseq, m.last), c.msgs = m.msgs, c.bytes = m.bytes
WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 2);

-- Client "Me" is not client "me", nor is the holder of a lease.
ALTER TABLE Clients
    MODIFY COLUMN id VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    ENGINE = InnoDB, ROW_FORMAT = DYNAMIC;
ALTER TABLE StoreLock
    MODIFY COLUMN id VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    ENGINE = InnoDB;
-- A subscription's unacknowledged sequences are in one row, which 64 KB might not hold.
ALTER TABLE SubsPending
    MODIFY COLUMN pending LONGBLOB,
    MODIFY COLUMN acks LONGBLOB,
    ENGINE = InnoDB;
ALTER TABLE Subscriptions ENGINE = InnoDB;
ALTER TABLE ServerInfo ENGINE = InnoDB;

-- time is UTC, with microseconds.
CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW events AS
SELECT
    c.name AS channel,
    m.seq AS sequence,
    TIMESTAMPADD(MICROSECOND, m.timestamp DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000000') AS time,
    m.event_id,
    m.aggregate_type,
    m.aggregate_id,
    m.event_version,
    m.event_type,
    m.event_data,
    m.metadata
FROM Messages AS m
JOIN Channels AS c ON c.id = m.id
WHERE m.event_type IS NOT NULL;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 2, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 2);
