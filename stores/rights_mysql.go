package stores

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	mysqldriver "github.com/go-sql-driver/mysql"
)

var (
	_ rightsChecker = (*mysql)(nil)
	_ writeChecker  = (*mysql)(nil)
)

// checkWrites deletes no row. A server refuses even that while it is read-only for this user, before it looks at the table, and
// the driver then gives up the connection without a reason (sqlconn sets RejectReadOnly). Other errors are for others to tell.
func (*mysql) checkWrites(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "DELETE FROM goose_db_version WHERE 1 = 0")
	if errors.Is(err, driver.ErrBadConn) && db.PingContext(ctx) == nil {
		return fmt.Errorf("%w: it is read-only (read_only, super_read_only or transaction_read_only): name the primary in -sql_source, or turn the setting off", ErrSetup)
	}
	return nil
}

// checkRights prepares the statements whose text depends on the number of rows, which are not prepared otherwise: the
// server then asks for the rights that they need. It also fires the triggers.
func (m *mysql) checkRights(ctx context.Context, db *sql.DB) error {
	for _, text := range []string{
		mysqlInsertChannels + mysqlInsertChannelsRow,
		mysqlInsertTags + mysqlInsertTagsRow,
		mysqlFillPositions + mysqlFillPositionsEnd,
		mysqlFillChain + mysqlFillChainEnd,
		mysqlAdvanceChannels + mysqlAdvanceChannelsRow + mysqlAdvanceChannelsEnd,
		mysqlSaveProgress + mysqlSaveProgressRow + mysqlSaveProgressEnd,
		mysqlPutConsumers + mysqlPutConsumersRow + mysqlPutConsumersEnd,
		mysqlPutParts + mysqlPutPartsRow + mysqlPutPartsEnd,
		mysqlDeleteParts + mysqlDeletePartsRow,
		mysqlPutCounts + mysqlPutPartsRow + mysqlPutCountsEnd,
		mysqlDeleteCounts + mysqlDeletePartsRow,
		mysqlPark + mysqlParkRow + mysqlParkEnd,
		mysqlUnpark + "?)",
		mysqlErasing.list + erasedRow,
		mysqlErasing.replace,
		dropErasedTag + erasedTag,
	} {
		err := mysqlPrepare(ctx, db, text)
		var e *mysqldriver.MySQLError
		switch {
		case errors.As(err, &e) && (e.Number == 1142 || e.Number == 1143): // on a table, on a column
			return fmt.Errorf("%w: missing rights: %w; see sql/roles/mysql_grants.sql", ErrSetup, err)
		case err != nil:
			return fmt.Errorf("prepare %q: %w", text, err)
		}
	}
	return m.checkTriggers(ctx, db)
}

func mysqlPrepare(ctx context.Context, db *sql.DB, text string) error {
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	return nil
}

// mysqlFire fires each trigger, on rows that no channel can have, in a transaction that is rolled back.
var mysqlFire = []string{
	"INSERT INTO Channels (id, name) VALUES (-1, '')",
	"UPDATE Channels SET msgs = 0 WHERE id = -1",
	"INSERT INTO Messages (id, seq) VALUES (-1, 1)",
	"DELETE FROM Messages WHERE id = -1",
	"DELETE FROM Channels WHERE id = -1",
}

var _ triggerChecker = (*mysql)(nil)

// checkTriggers finds out whether the triggers run: each does so as the user who created it, who may be absent after a restore
// on another server. Every commit would then fail. That the rows are locked says nothing.
func (m *mysql) checkTriggers(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, text := range mysqlFire {
		_, err := tx.ExecContext(ctx, text)
		var e *mysqldriver.MySQLError
		switch {
		case errors.As(err, &e) && (e.Number == 1449 || e.Number == 1227 || e.Number == 1370 || e.Number == 1356): // no such definer, or one without rights
			return fmt.Errorf("%w: a trigger does not run: %w: %s", ErrSetup, err, triggersRemedy)
		case err != nil && m.classify(err) != failedUnavailable:
			return nil
		case err != nil:
			return fmt.Errorf("try %q: %w", text, err)
		}
	}
	return nil
}
