package stores

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
)

// trier is a dialect that tries what a migration does, on a table of its own, before anything of the database is changed: a
// migration that stops half-way would leave tables that no program can use.
type trier interface {
	// try returns an ErrSetup that says what the user or the server does not allow.
	try(ctx context.Context, db *sql.DB) error
}

var (
	_ trier = (*postgres)(nil)
	_ trier = (*mysql)(nil)
)

// postgresTrial does what migrations do, in a transaction that is rolled back.
var postgresTrial = []string{
	"CREATE TABLE eventstore_trial (id INTEGER PRIMARY KEY, document JSONB)",
	"ALTER TABLE eventstore_trial ADD COLUMN name TEXT COLLATE \"C\"",
	"CREATE FUNCTION eventstore_trial() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
	"CREATE TRIGGER eventstore_trial BEFORE TRUNCATE ON eventstore_trial FOR EACH STATEMENT EXECUTE FUNCTION eventstore_trial()",
	"CREATE VIEW eventstore_trial_view AS SELECT id FROM eventstore_trial",
}

// postgresOthers are our relations that belong to a role whose tables the user cannot change.
const postgresOthers = `SELECT current_user, string_agg(relname || ' (' || relowner::regrole || ')', ', ' ORDER BY relname) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v') AND relname IN ` + ourRelations + ` AND NOT pg_has_role(relowner, 'USAGE')`

func (*postgres) try(ctx context.Context, db *sql.DB) error {
	var schema, others sql.NullString
	var user string
	if err := db.QueryRowContext(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	if !schema.Valid {
		return fmt.Errorf("%w: no schema in the search_path of this user exists: CREATE SCHEMA, or set search_path in -sql_source", ErrSetup)
	}
	if err := db.QueryRowContext(ctx, postgresOthers).Scan(&user, &others); err != nil {
		return fmt.Errorf("read owners: %w", err)
	}
	if others.Valid {
		return fmt.Errorf("%w: migrating needs the owner of the tables, and %q is not that of %s: migrate as the owner, or REASSIGN OWNED", ErrSetup, user, others.String)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, text := range postgresTrial {
		var refused *pq.Error
		switch _, err := tx.ExecContext(ctx, text); {
		case errors.As(err, &refused) && (refused.Code.Class() == "42" || refused.Code.Class() == "0A"): // rights, or not supported
			return fmt.Errorf("%w: migrating needs %s: %w; see sql/roles/postgres_roles.sql", ErrSetup, what(text), err)
		case err != nil:
			return fmt.Errorf("try %q: %w", text, err)
		}
	}
	return nil
}

// mysqlTrial does what migrations do. It begins with what removes the table. (MySQL commits each statement.)
var mysqlTrial = []string{
	"DROP TABLE IF EXISTS eventstore_trial",
	"CREATE TABLE eventstore_trial (id INTEGER, PRIMARY KEY (id)) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
	"ALTER TABLE eventstore_trial ADD COLUMN document JSON, ADD COLUMN name VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */, ADD INDEX eventstore_trial_name (name)",
	"ALTER TABLE eventstore_trial DROP INDEX eventstore_trial_name",
	"INSERT INTO eventstore_trial (id) VALUES (1)",
	"CREATE TRIGGER eventstore_trial BEFORE UPDATE ON eventstore_trial FOR EACH ROW SET lc_time_names = IF(OLD.name IS NULL, @@lc_time_names, 'refused')",
	"UPDATE eventstore_trial SET id = id + 1",
	"CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW eventstore_trial_view AS SELECT id FROM eventstore_trial",
	"DROP VIEW eventstore_trial_view",
	"DELETE FROM eventstore_trial",
}

// try uses a name of its own: another server may do the same.
func (*mysql) try(ctx context.Context, db *sql.DB) (err error) {
	name := "eventstore_trial_" + strings.ToLower(rand.Text()[:8])
	rename := strings.NewReplacer("eventstore_trial", name)
	defer func() {
		_, drop := db.ExecContext(context.WithoutCancel(ctx), rename.Replace(mysqlTrial[0]))
		if err == nil {
			err = drop
		}
	}()
	for _, text := range mysqlTrial {
		_, err := db.ExecContext(ctx, rename.Replace(text))
		var refused *mysqldriver.MySQLError
		switch {
		case errors.As(err, &refused) && refused.Number == 1419:
			return fmt.Errorf("%w: migrating creates triggers, and this server writes a binary log: SET GLOBAL log_bin_trust_function_creators = 1 while you migrate, or migrate as a user with SUPER: %w", ErrSetup, err)
		case errors.As(err, &refused) && (refused.Number == 1044 || refused.Number == 1142 || refused.Number == 1143 || refused.Number == 1227 || refused.Number == 1370):
			return fmt.Errorf("%w: migrating needs %s: %w; see sql/roles/mysql_roles.sql", ErrSetup, what(text), err)
		case err != nil:
			return fmt.Errorf("try %q: %w", text, err)
		}
	}
	return nil
}

// what names the kind of a statement: "CREATE TABLE".
func what(text string) string {
	words := strings.Fields(text)
	if strings.HasPrefix(text, "CREATE OR REPLACE") {
		return "CREATE VIEW"
	}
	return words[0] + " " + words[1]
}
