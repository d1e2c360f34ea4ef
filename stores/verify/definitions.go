package verify

import (
	"regexp"
	"strings"

	schema "github.com/nats-eventstore/nats-eventstore/sql"
)

// definitions returns what the migrations define: the texts of triggers and functions, by kind and name. A later
// migration replaces an earlier definition.
func (t *texts) definitions(driver string) (map[string]string, error) {
	files, err := schema.Files(driver)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, name := range t.wanted {
		all[name] = t.defined[name]
	}
	for _, file := range files {
		for _, found := range t.definition.FindAllStringSubmatch(file.Text, -1) {
			all[t.defines+" "+found[1]] = strings.Join(found[2:], " ")
		}
	}
	return all, nil
}

// The definitions in the migrations of each database: a name and the texts that the catalog shows.
var (
	postgresFunction = regexp.MustCompile(`(?s)CREATE OR REPLACE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE (\w+)(?: SET search_path = ([\w, ]+))? AS \$\$(.*?)\$\$;`)
	mysqlTrigger     = regexp.MustCompile(`(?s)CREATE TRIGGER (\w+) (.*?);\n`)
	sqliteTrigger    = regexp.MustCompile(`(?s)CREATE TRIGGER (?:IF NOT EXISTS )?(\w+) (.*?END);\n`)
)

// sameDefinition compares texts of SQL. A client that created the object may have changed white space and case.
func sameDefinition(a, b string) bool {
	return strings.EqualFold(oneLine(a), oneLine(b))
}
