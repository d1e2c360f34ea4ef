-- The positions of groups of subscriptions. A group is the subscriptions that share one position: a queue group, or one subscription.
-- The file can be run by hand, and more than once; it records its own version.

-- +goose NO TRANSACTION
-- +goose Up

-- One row for each group. consumer is the subid of its first subscription, which may have left since; id is that of the channel;
-- lastsent is the highest sequence that was sent; members is a JSON array of the subids of its subscriptions.
CREATE TABLE IF NOT EXISTS Consumers (
    consumer BIGINT UNSIGNED NOT NULL,
    id INTEGER NOT NULL,
    lastsent BIGINT UNSIGNED NOT NULL,
    members MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What each group was sent and has not acknowledged. Part n holds the sequences from 1024 n to 1024 n + 1023, as a JSON
-- array of [subid, first sequence, last sequence].
CREATE TABLE IF NOT EXISTS ConsumersPending (
    consumer BIGINT UNSIGNED NOT NULL,
    part BIGINT UNSIGNED NOT NULL,
    pending MEDIUMTEXT NOT NULL,
    PRIMARY KEY (consumer, part)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 7, TRUE FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 7);
