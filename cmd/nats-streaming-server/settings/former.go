package settings

const (
	noFiles    = "the FILE store is an SQLite database, which needs no file tuning; every commit is synced to disk"
	noArchive  = "there are no file slices; query or dump the database to archive messages"
	noBatching = "all messages that wait for a commit are committed together, without a timer"
	noRaft     = "there is no Raft replication; additional servers on the same database are standbys"
)

var fileBlocks = []string{"file", "file_options"}

// formerSettings are options of NATS Streaming for mechanisms that this server does not have.
var formerSettings = []setting{
	former(count, noBatching, []string{"io_batch_size"}, nil),
	former(count, noBatching, []string{"io_sleep_time"}, nil),
	former(toggle, "nothing is cached before it is committed: every acknowledged message is in the database",
		[]string{"sql_no_caching"}, under(sqlBlocks, "no_caching")),
	former(count, "messages that wait for a commit are always inserted together",
		[]string{"sql_bulk_insert_limit"}, under(sqlBlocks, "bulk_insert_limit")),

	former(toggle, noFiles, []string{"file_compact_enabled"}, under(fileBlocks, "compact", "compact_enabled")),
	former(count, noFiles, []string{"file_compact_frag"}, under(fileBlocks, "compact_frag", "compact_fragmentation")),
	former(count, noFiles, []string{"file_compact_interval"}, under(fileBlocks, "compact_interval")),
	former(size, noFiles, []string{"file_compact_min_size"}, under(fileBlocks, "compact_min_size")),
	former(size, noFiles, []string{"file_buffer_size"}, under(fileBlocks, "buffer_size")),
	former(size, noFiles, []string{"file_read_buffer_size"}, under(fileBlocks, "read_buffer_size", "file_read_buffer_size")),
	former(toggle, noFiles, []string{"file_crc"}, under(fileBlocks, "crc", "do_crc")),
	former(count, noFiles, []string{"file_crc_poly"}, under(fileBlocks, "crc_poly")),
	former(toggle, noFiles, []string{"file_sync"}, under(fileBlocks, "sync", "do_sync", "sync_on_flush")),
	former(duration, noFiles, []string{"file_auto_sync"}, under(fileBlocks, "auto_sync", "file_auto_sync")),
	former(count, noFiles, []string{"file_slice_max_msgs"},
		under(fileBlocks, "slice_max_msgs", "slice_max_count", "slice_msgs", "slice_count")),
	former(size, noFiles, []string{"file_slice_max_bytes"},
		under(fileBlocks, "slice_max_bytes", "slice_max_size", "slice_bytes", "slice_size")),
	former(duration, noFiles, []string{"file_slice_max_age"},
		under(fileBlocks, "slice_max_age", "slice_age", "slice_max_time", "slice_time_limit")),
	former(text, noArchive, []string{"file_slice_archive_script"},
		under(fileBlocks, "slice_archive_script", "slice_archive", "slice_script")),
	former(count, noFiles, []string{"file_fds_limit"}, under(fileBlocks, "file_descriptors_limit", "fds_limit")),
	former(count, noFiles, []string{"file_parallel_recovery"}, under(fileBlocks, "parallel_recovery")),
	former(toggle, noFiles, []string{"file_truncate_bad_eof"}, nil),

	former(text, noRaft, []string{"cluster_node_id"}, nil),
	former(toggle, noRaft, []string{"cluster_bootstrap"}, nil),
	former(text, noRaft, []string{"cluster_peers"}, nil),
	former(text, noRaft, []string{"cluster_log_path"}, nil),
	former(count, noRaft, []string{"cluster_log_cache_size"}, nil),
	former(count, noRaft, []string{"cluster_log_snapshots"}, nil),
	former(count, noRaft, []string{"cluster_trailing_logs"}, nil),
	former(toggle, noRaft, []string{"cluster_sync"}, nil),
	former(toggle, noRaft, []string{"cluster_raft_logging"}, nil),
	former(toggle, noRaft, []string{"cluster_proceed_on_restore_failure"}, nil),
	former(toggle, noRaft, []string{"cluster_allow_add_remove_node"}, nil),
}

func former(k kind, why string, flags, keys []string) setting {
	return setting{flags: flags, keys: keys, kind: k, state: noEffect, note: why}
}

const (
	noClustering   = "start several servers with -store SQL on one database instead: one is active, the others are standbys"
	noPartitioning = "start a server with a cluster ID and a database of its own for each set of channels instead"
	noEncryption   = "messages are columns that SQL reads; encrypt the disk or use the database's own encryption instead"
)

// refusedSettings are options that would silently lose safety or topology guarantees if they were ignored.
var refusedSettings = []setting{
	unsupported(toggle, noClustering, []string{"clustered"}, nil),
	unsupported(block, noClustering, nil, []string{"cluster"}),
	unsupported(anything, noClustering, nil, under([]string{"cluster"},
		"node_id", "bootstrap", "peers", "log_path", "log_cache_size", "log_snapshots", "trailing_logs", "sync",
		"proceed_on_restore_failure", "allow_add_remove_node", "raft_logging", "raft_heartbeat_timeout",
		"raft_election_timeout", "raft_lease_timeout", "raft_commit_timeout", "bolt_free_list_sync",
		"bolt_free_list_map", "nodes_connections")),
	unsupported(toggle, noPartitioning, nil, []string{"partitioning"}),
	unsupported(toggle, noEncryption, []string{"encrypt"}, []string{"encrypt"}),
	unsupported(text, noEncryption, []string{"encryption_cipher"}, []string{"encryption_cipher"}),
	unsupported(text, noEncryption, []string{"encryption_key"}, []string{"encryption_key"}),
}

func unsupported(k kind, instead string, flags, keys []string) setting {
	return setting{flags: flags, keys: keys, kind: k, state: refused, note: instead}
}

// EncryptionKeyVariable is NATS Streaming's variable for the key. The server refuses to start unencrypted where it is set.
const EncryptionKeyVariable = "NATS_STREAMING_ENCRYPTION_KEY"
