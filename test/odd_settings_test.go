package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// harmless are settings of databases that differ from the defaults and that the server copes with.
var harmless = map[databases.Kind][]string{
	databases.KindPostgres: {
		"TimeZone = 'Asia/Kolkata'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", "bytea_output = 'escape'", "client_encoding = 'LATIN1'",
		"standard_conforming_strings = off", "backslash_quote = off", "array_nulls = off", "transform_null_equals = on", "quote_all_identifiers = on",
		"default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "row_security = off", "extra_float_digits = 0",
		"statement_timeout = 1000", "lock_timeout = 1", "idle_in_transaction_session_timeout = 1", "idle_session_timeout = 500", "enable_seqscan = off",
		"enable_indexscan = off", "enable_bitmapscan = off", "jit_above_cost = 0", "plan_cache_mode = 'force_custom_plan'", "synchronous_commit = off",
		"default_toast_compression = 'pglz'", "check_function_bodies = off", "lc_messages = 'C'", "search_path = 'elsewhere'",
	},
	databases.KindMySQL: {
		"time_zone = '+05:30'", "sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE'", "sql_mode = 'TRADITIONAL,ONLY_FULL_GROUP_BY,NO_ZERO_DATE'",
		"wait_timeout = 5", "interactive_timeout = 5", "net_read_timeout = 5", "net_write_timeout = 5", "character_set_server = latin1", "collation_connection = latin1_general_cs",
		"transaction_isolation = 'SERIALIZABLE'", "autocommit = 0", "completion_type = 'CHAIN'", "group_concat_max_len = 4", "default_storage_engine = MyISAM",
		"innodb_default_row_format = compact", "innodb_lock_wait_timeout = 1", "lock_wait_timeout = 1", "max_error_count = 0", "sql_notes = 0", "div_precision_increment = 0",
		"foreign_key_checks = 0", "unique_checks = 0", "sql_big_selects = 0", "max_join_size = 1", "sql_select_limit = 1", "sql_safe_updates = 1", "explicit_defaults_for_timestamp = 0",
		"max_allowed_packet = 4194304", "big_tables = 1", "low_priority_updates = 1", "lc_time_names = 'de_DE'", "default_week_format = 3", "max_statement_time = 0.001", "max_execution_time = 1",
		"innodb_strict_mode = 0", "tx_read_only = 0",
	},
}

// TestOddSettings starts a server with the settings of others, and does what clients do. With -long each setting is tried alone.
func TestOddSettings(t *testing.T) {
	t.Parallel()
	for _, kind := range []databases.Kind{databases.KindPostgres, databases.KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := databases.Own(t, kind)
			n := 0
			fresh := func(settings ...string) (source string, known int) {
				n++
				name := fmt.Sprintf("odd_%d", n)
				if err := server.CreateDatabase(name); err != nil {
					t.Fatal(err)
				}
				set := "ALTER DATABASE " + name + " SET "
				if kind == databases.KindMySQL {
					set = "SET GLOBAL "
				} else {
					query(t, string(kind), server.DSN(name), "CREATE SCHEMA elsewhere")
				}
				for _, setting := range settings {
					if _, err := tryQuery(string(kind), server.DSN(name), set+setting); err != nil { // of another release, or of MariaDB only
						t.Logf("%s: %v", setting, err)
						continue
					}
					known++
				}
				return server.DSN(name), known
			}
			if *long {
				for _, setting := range harmless[kind] {
					if source, known := fresh(setting); known > 0 {
						t.Run(strings.ReplaceAll(setting, "/", "-"), func(t *testing.T) { copes(t, string(kind), source) })
					}
					if name, _, _ := strings.Cut(setting, " "); kind == databases.KindMySQL {
						_, _ = tryQuery("mysql", server.DSN("mysql"), "SET GLOBAL "+name+" = DEFAULT")
					}
				}
			} else {
				source, _ := fresh(harmless[kind]...)
				copes(t, string(kind), source)
			}
		})
	}
}

// copes does what clients do.
func copes(t *testing.T, driver, source string) {
	t.Helper()
	s := start(t, driver, source, "-index_event_data", "$.customer_id")
	sc := s.connect("client")
	for range 3 {
		publish(t, sc, orders, event(t, "A'\\\"é", "T"))
	}
	fill(t, sc, "plain", 100)
	_, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
	in.sequences(t, 3)
	s.Stop()
	s.Restart()
	publish(t, s.connect("another"), orders, event(t, "A'\\\"é", "T", withVersion(4)))
	s.Stop()
	harness.Verify(t, driver, source)
	if out, status := runBinary(t, "migrate", "-dry_run", "-store", "SQL", "-sql_driver", driver, "-sql_source", source); status != 0 {
		t.Errorf("dry run: status %d\n%s", status, out)
	}
}
