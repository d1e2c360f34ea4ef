-- The tables of NATS Streaming 0.25.6, created where they are absent, so that a database that NATS Streaming has
-- written opens as it is. New ones have byte-compared names whatever the database's default is.
-- The file can be run by hand, and more than once; it records its own version. MySQL 8.0.17 or MariaDB 10.5, or later.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS goose_db_version (
    id BIGINT(20) UNSIGNED NOT NULL AUTO_INCREMENT,
    version_id BIGINT NOT NULL,
    is_applied BOOLEAN NOT NULL,
    tstamp DATETIME NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)
) ENGINE = InnoDB;
INSERT INTO goose_db_version (version_id, is_applied)
SELECT 0, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 0);

CREATE TABLE IF NOT EXISTS ServerInfo (
    uniquerow INT DEFAULT 1,
    id VARCHAR(1024),
    proto BLOB,
    version INTEGER,
    PRIMARY KEY (uniquerow)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS Clients (
    id VARCHAR(1024),
    hbinbox TEXT,
    proto BLOB,
    PRIMARY KEY (id(256))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Absent before NATS Streaming 0.10.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'Clients' AND column_name = 'proto') = 0,
    'ALTER TABLE Clients ADD COLUMN proto BLOB',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

CREATE TABLE IF NOT EXISTS Channels (
    id INTEGER,
    name VARCHAR(1024) NOT NULL,
    maxseq BIGINT UNSIGNED DEFAULT 0,
    maxmsgs INTEGER DEFAULT 0,
    maxbytes BIGINT DEFAULT 0,
    maxage BIGINT DEFAULT 0,
    deleted BOOL DEFAULT FALSE,
    PRIMARY KEY (id),
    INDEX Idx_ChannelsName (name(256))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS Messages (
    id INTEGER,
    seq BIGINT UNSIGNED,
    timestamp BIGINT,
    size INTEGER,
    data LONGBLOB,
    CONSTRAINT PK_MsgKey PRIMARY KEY (id, seq),
    INDEX Idx_MsgsTimestamp (timestamp)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS Subscriptions (
    id INTEGER,
    subid BIGINT UNSIGNED,
    lastsent BIGINT UNSIGNED DEFAULT 0,
    proto BLOB,
    deleted BOOL DEFAULT FALSE,
    CONSTRAINT PK_SubKey PRIMARY KEY (id, subid)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS SubsPending (
    subid BIGINT UNSIGNED,
    `row` BIGINT UNSIGNED,
    seq BIGINT UNSIGNED DEFAULT 0,
    lastsent BIGINT UNSIGNED DEFAULT 0,
    pending LONGBLOB,
    acks LONGBLOB,
    CONSTRAINT PK_MsgPendingKey PRIMARY KEY (subid, `row`),
    INDEX Idx_SubsPendingSeq (seq)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS StoreLock (
    id VARCHAR(30),
    tick BIGINT UNSIGNED DEFAULT 0,
    uniquerow INT NOT NULL DEFAULT 1,
    PRIMARY KEY (uniquerow)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- NATS Streaming's has no key. It gets one before anything else: a server that requires keys changes no table without one.
-- It replaces the key that MySQL generates if sql_generate_invisible_primary_key is on.
SET @generated = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'StoreLock' AND column_name = 'my_row_id') = 0,
    '',
    'DROP PRIMARY KEY, DROP COLUMN my_row_id, ');
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'StoreLock' AND column_name = 'uniquerow') = 0,
    CONCAT('ALTER TABLE StoreLock ', @generated, 'ADD COLUMN uniquerow INT NOT NULL DEFAULT 1, ADD PRIMARY KEY (uniquerow), ENGINE = InnoDB'),
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
-- The one row of the lease. It is made here, under the lock of the migration: two servers that start on a new database can
-- only update it.
INSERT INTO StoreLock (id, tick)
SELECT '', 0 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM StoreLock);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 1, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 1);
