package upstream

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/test/launch"
)

// CreateTables runs the script of the release for a database, postgres or mysql, statement by statement.
func CreateTables(ctx context.Context, database string, db *sql.DB) error {
	b, err := launch.Output(ctx, os.TempDir(), nil, "go", "mod", "download", "-json", Module+"@"+Version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(b), &module); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(module.Dir, "scripts", database+".db.sql"))
	if err != nil {
		return err
	}
	var lines []string
	for _, line := range strings.Split(string(script), "\n") {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	for _, statement := range strings.Split(strings.Join(lines, "\n"), ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("tables of NATS Streaming: %s: %w", statement, err)
		}
	}
	return nil
}
