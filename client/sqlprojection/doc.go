// Package sqlprojection makes read models from a YAML file, without code: the file maps types of events to SQL statements with
// parameters. docs/guides/sql-projections.md describes it.
//
//	file, err := sqlprojection.Read("orders.yaml")
//	…
//	projector, err := file.Projector(client, db, eventstore.PostgreSQL)
//	…
//	err = projector.Run(ctx)
//
// The command eventstore project runs the same files.
package sqlprojection
