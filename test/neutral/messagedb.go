package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nats-eventstore/nats-eventstore/test/launch"
)

// The SQL of Message DB is in a package of npm's registry. It is fetched, once per machine.
const (
	messageDBVersion = "1.3.1"
	messageDBPackage = "@eventide/message-db"
	messageDBSchema  = "message_store"
)

// messageDBFiles are what its installation runs, in that order, without its roles and its reports.
var messageDBFiles = []string{
	"schema/message-store", "extensions/pgcrypto", "tables/messages", "types/message",
	"functions/message-store-version", "functions/hash-64", "functions/acquire-lock", "functions/category", "functions/is-category", "functions/id",
	"functions/cardinal-id", "functions/stream-version", "functions/write-message", "functions/get-stream-messages", "functions/get-category-messages",
	"functions/get-last-stream-message", "indexes/messages-id", "indexes/messages-stream", "indexes/messages-category",
}

func startMessageDB(ctx context.Context, at *place) (store, error) {
	dir, err := fetchMessageDB(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch Message DB (npm must reach a registry): %w", err)
	}
	source, err := at.database()
	if err != nil {
		return nil, err
	}
	s := &inPostgres{at.postgres, source + "&search_path=" + messageDBSchema + ",public", func(c *pgx.Conn) client { return &messageClient{c} }}
	for _, name := range messageDBFiles {
		script, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)+".sql"))
		if err != nil {
			return nil, err
		}
		if err := execute(ctx, s.source, string(script)); err != nil {
			return nil, fmt.Errorf("%s.sql of Message DB: %w", name, err)
		}
	}
	return s, nil
}

// fetchMessageDB returns the directory of its SQL.
func fetchMessageDB(ctx context.Context) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "nats-eventstore-bench")
	dir = filepath.Join(parent, "message-db-"+messageDBVersion)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	// Nobody sees a part of it: it is unpacked beside its final place.
	fetched, err := os.MkdirTemp(parent, "fetch")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fetched)) }()
	name, err := launch.Output(ctx, fetched, nil, "npm", "pack", "--silent", messageDBPackage+"@"+messageDBVersion)
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(fetched, "unpacked")
	if err := unpackSQL(filepath.Join(fetched, strings.TrimSpace(name)), unpacked); err != nil {
		return "", err
	}
	if err := os.Rename(unpacked, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // another process was not first
			return "", err
		}
	}
	return dir, nil
}

// unpackSQL writes the files that are needed, and nothing else, to a directory.
func unpackSQL(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was read
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, name := range messageDBFiles {
		needed[path.Join("package/database", name+".sql")] = true
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !needed[header.Name] {
			continue
		}
		b, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(header.Name, "package/database/")))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			return err
		}
	}
}

type messageClient struct{ *pgx.Conn }

// Message DB counts from 0, and a stream without messages is at -1.
const messageWrite = "SELECT write_message($1, $2, $3, $4::jsonb, NULL, $5)"

func (c *messageClient) append(ctx context.Context, to stream, at version, events [][]byte) (version, error) {
	var last int64
	write := func(row func(sql string, args ...any) pgx.Row, data []byte) error {
		var expected *int64
		if at != anyVersion {
			v := int64(at) - 1
			expected = &v
		}
		if err := row(messageWrite, uuid.NewString(), to.key(), eventType, string(data), expected).Scan(&last); err != nil {
			return err
		}
		if at != anyVersion {
			at = version(last + 1)
		}
		return nil
	}
	var err error
	if len(events) == 1 {
		err = write(func(sql string, args ...any) pgx.Row { return c.QueryRow(ctx, sql, args...) }, events[0])
	} else {
		err = pgx.BeginFunc(ctx, c.Conn, func(tx pgx.Tx) error {
			for _, data := range events {
				if err := write(func(sql string, args ...any) pgx.Row { return tx.QueryRow(ctx, sql, args...) }, data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "P0001" && strings.HasPrefix(refused.Message, "Wrong expected version") { // it has no code of its own
		return 0, errConflict
	}
	return version(last + 1), err
}

func (c *messageClient) call(ctx context.Context) error { return ask(ctx, c.Conn) }

func (c *messageClient) read(ctx context.Context, of stream, limit int) ([][]byte, error) {
	return dataOf(c.Query(ctx, "SELECT data FROM get_stream_messages($1, 0, $2)", of.key(), limit))
}

func (c *messageClient) head(ctx context.Context, of stream) (version, error) {
	var v int64
	err := c.QueryRow(ctx, "SELECT coalesce(stream_version($1), -1)", of.key()).Scan(&v)
	return version(v + 1), err
}

func (c *messageClient) category(ctx context.Context, name string, limit int) ([][]byte, error) {
	return dataOf(c.Query(ctx, "SELECT data FROM get_category_messages($1, 1, $2)", name, limit))
}

func (c *messageClient) follow(ctx context.Context, category string, handle func([]byte) error) error {
	next := int64(1)
	return poll(ctx, func() (n int, err error) {
		rows, err := c.Query(ctx, "SELECT global_position, data FROM get_category_messages($1, $2, $3)", category, next, pageSize)
		if err != nil {
			return 0, err
		}
		var at int64
		var data string
		_, err = pgx.ForEachRow(rows, []any{&at, &data}, func() error {
			n, next = n+1, at+1
			return handle([]byte(data))
		})
		return n, err
	})
}

func (c *messageClient) close() { _ = c.Close(context.Background()) } // nothing is under way
