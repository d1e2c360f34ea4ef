package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// build builds a program of this module or of one that it requires.
func (s *setup) build(ctx context.Context, name, pkg string) (string, error) {
	progress("build %s", name)
	root, err := output(ctx, "", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-eventstore/nats-eventstore")
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, name)
	_, err = output(ctx, strings.TrimSpace(root), []string{"CGO_ENABLED=0"},
		"go", "build", "-trimpath", "-buildvcs=false", "-o", file, pkg)
	return file, err
}

// output runs a command in dir with additions to our environment.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, stderr.String())
	}
	return string(b), nil
}

// createReferenceTables runs the script of NATS Streaming's release, statement
// by statement.
func createReferenceTables(ctx context.Context, name, source string) error {
	b, err := output(ctx, os.TempDir(), nil, "go", "mod", "download", "-json", upstream.Module+"@"+upstream.Version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(b), &module); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(module.Dir, "scripts", name+".db.sql"))
	if err != nil {
		return err
	}
	var lines []string
	for _, line := range strings.Split(string(script), "\n") {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	db, err := open(name, source)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range strings.Split(strings.Join(lines, "\n"), ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("tables of the reference: %s: %w", statement, err)
		}
	}
	return nil
}

// open opens a database without the driver's own log.
func open(name, source string) (*sql.DB, error) {
	if name != "mysql" {
		return sql.Open(name, source)
	}
	config, err := driver.ParseDSN(source)
	if err != nil {
		return nil, err
	}
	config.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
