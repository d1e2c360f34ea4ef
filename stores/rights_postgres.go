package stores

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

var _ rightsChecker = (*postgres)(nil)

// postgresMissingRights compares what the statements of a server need, and sql/roles/postgres_grants.sql grants, with
// the rights of the current user. A right on some columns counts: the statements name their columns.
const postgresMissingRights = `SELECT current_user, r.name || ' on ' || t.name
FROM (VALUES ('goose_db_version', 'SELECT'),
    ('ServerInfo', 'SELECT,INSERT,UPDATE'), ('Relays', 'SELECT,INSERT,UPDATE'), ('StoreLock', 'SELECT,UPDATE'),
    ('Messages', 'SELECT,INSERT,UPDATE,DELETE'), ('EventTags', 'SELECT,INSERT,DELETE'), ('TimeSteps', 'SELECT,INSERT'), ('Channels', 'SELECT,INSERT,UPDATE,DELETE'), ('Clients', 'SELECT,INSERT,UPDATE,DELETE'),
    ('Subscriptions', 'SELECT,INSERT,UPDATE,DELETE'), ('SubsPending', 'SELECT,INSERT,UPDATE,DELETE'),
    ('Consumers', 'SELECT,INSERT,UPDATE,DELETE'), ('ConsumersPending', 'SELECT,INSERT,UPDATE,DELETE'), ('Wildcards', 'SELECT,INSERT,UPDATE,DELETE'),
    ('NamedConsumers', 'SELECT,INSERT,UPDATE,DELETE'), ('Parked', 'SELECT,INSERT,UPDATE,DELETE'), ('ConsumersRedelivered', 'SELECT,INSERT,UPDATE,DELETE'),
    ('CancelledDeliveries', 'SELECT,INSERT,DELETE'), ('AuditEntries', 'SELECT,INSERT'), ('Appenders', 'SELECT,INSERT'), ('ChainHeads', 'SELECT,INSERT'), ('Erasures', 'SELECT,INSERT,UPDATE'), ('ErasedMessages', 'SELECT,INSERT,DELETE')) AS t (name, rights)
CROSS JOIN LATERAL unnest(string_to_array(t.rights, ',')) AS r (name)
WHERE NOT CASE r.name WHEN 'DELETE' THEN has_table_privilege(t.name, r.name) ELSE has_any_column_privilege(t.name, r.name) END
ORDER BY t.name, r.name`

func (*postgres) checkWrites(ctx context.Context, db *sql.DB) error {
	var readOnly, standby bool
	if err := db.QueryRowContext(ctx, "SELECT current_setting('default_transaction_read_only') = 'on', pg_is_in_recovery()").Scan(&readOnly, &standby); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	switch {
	case standby:
		return fmt.Errorf("%w: it is a standby, which takes no writes: name the primary in -sql_source, or all hosts", ErrSetup)
	case readOnly:
		return fmt.Errorf("%w: default_transaction_read_only is on, for instance since its disk was full: turn it off for this database and this user", ErrSetup)
	}
	return nil
}

func (*postgres) checkRights(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, postgresMissingRights)
	if err != nil {
		return fmt.Errorf("read the rights of this role: %w", err)
	}
	user := ""
	var missing []string
	err = each(rows, func(rows *sql.Rows) error {
		var right string
		err := rows.Scan(&user, &right)
		missing = append(missing, right)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the rights of this role: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: missing rights: role %q needs %s; see sql/roles/postgres_grants.sql", ErrSetup, user, strings.Join(missing, ", "))
	}
	return nil
}
