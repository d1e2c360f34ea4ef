package main

import "strings"

// driverOf tells the driver by a data source name. What is neither one that it knows nor looks like a file is an error: SQLite would
// create a file of that name, with the password in it.
func driverOf(dsn string) (string, error) {
	path, _, _ := strings.Cut(dsn, "?")
	switch {
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"), strings.Contains(dsn, "host="), strings.Contains(dsn, "dbname="):
		return "postgres", nil
	case strings.Contains(dsn, "@tcp("), strings.Contains(dsn, "@unix("), strings.Contains(dsn, "@/"):
		return "mysql", nil
	case strings.ContainsAny(path, "@="), strings.Contains(path, "://") && !strings.HasPrefix(path, "file:"):
		return "", usage("the DSN does not say which database it is: write postgres://…, user@tcp(host:3306)/name or a file of SQLite, or name the driver")
	}
	return "sqlite", nil
}
