package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	mysqldriver "github.com/go-sql-driver/mysql"
)

var _ rightsChecker = (*mysql)(nil)

// checkRights prepares the statements whose text depends on the number of rows, which are not prepared otherwise: the
// server then asks for the rights that they need.
func (*mysql) checkRights(ctx context.Context, db *sql.DB) error {
	for _, text := range []string{
		mysqlInsertChannels + mysqlInsertChannelsRow,
		mysqlAdvanceChannels + mysqlAdvanceChannelsRow + mysqlAdvanceChannelsEnd,
		mysqlSaveProgress + mysqlSaveProgressRow + mysqlSaveProgressEnd,
		mysqlPutConsumers + mysqlPutConsumersRow + mysqlPutConsumersEnd,
		mysqlPutParts + mysqlPutPartsRow + mysqlPutPartsEnd,
		mysqlDeleteParts + mysqlDeletePartsRow,
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
	return nil
}

func mysqlPrepare(ctx context.Context, db *sql.DB, text string) error {
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	return nil
}
