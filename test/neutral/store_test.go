package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// testStore checks what the interface of a client promises.
func testStore(t *testing.T, p peer, s store) {
	var clients [2]client
	for n := range clients {
		c, err := s.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		clients[n] = c
	}
	if sql, ok := s.(*inPostgres); ok {
		// The next transactions' numbers get one digit more, as they do in time.
		if err := execute(t.Context(), sql.source, `DO $$ BEGIN WHILE pg_current_xact_id()::text::int < 9800 LOOP COMMIT; END LOOP; END $$`); err != nil {
			t.Fatal(err)
		}
	}
	testFollow(t, clients[0], clients[1])
	if p.abilities&reads != 0 {
		testStream(t, clients[0])
	}
}

// testFollow appends events one after the other: a follower receives them in that order, those that were there and those that come.
func testFollow(t *testing.T, writer, follower client) {
	const stored, all = 400, 410
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r := random(1)
	put := func(from, to int64) error {
		for n := from; n < to; n++ {
			if _, err := writer.append(ctx, stream{"inorder", newStream(r).id}, anyVersion, [][]byte{newEvent(r, n, 100)}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := put(0, stored); err != nil {
		t.Fatal(err)
	}
	next, more := int64(0), make(chan error, 1)
	err := follower.follow(ctx, "inorder", func(event []byte) error {
		n, err := numberOf(event)
		if err == nil && n != next {
			err = fmt.Errorf("received event %d, want %d", n, next)
		}
		if err != nil {
			return err
		}
		switch next++; next {
		case stored:
			go func() { more <- put(stored, all) }()
		case all:
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) {
		t.Fatalf("followed %d of %d events: %v", next, all, err)
	}
	if err := <-more; err != nil {
		t.Fatal(err)
	}
}

func testStream(t *testing.T, c client) {
	ctx, r := t.Context(), random(2)
	of := stream{"orders", "some-stream"}
	event := func(n int64) []byte { return newEvent(r, n, 100) }
	if v, err := c.head(ctx, of); v != 0 || err != nil {
		t.Errorf("version %d of a stream without events: %v", v, err)
	}
	if list, err := c.read(ctx, of, 10); len(list) != 0 || err != nil {
		t.Errorf("%d events of a stream without events: %v", len(list), err)
	}
	first, err := c.append(ctx, of, 0, [][]byte{event(1), event(2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.append(ctx, of, 0, [][]byte{event(100)}); !errors.Is(err, errConflict) {
		t.Errorf("append to a new stream that is there: %v", err)
	}
	second, err := c.append(ctx, of, first, [][]byte{event(3)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.append(ctx, of, first, [][]byte{event(100)}); !errors.Is(err, errConflict) {
		t.Errorf("append at a version that is over: %v", err)
	}
	if v, err := c.head(ctx, of); v != second || err != nil {
		t.Errorf("version %d after an append that returned %d: %v", v, second, err)
	}
	third, err := c.append(ctx, of, anyVersion, [][]byte{event(4), event(5)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.append(ctx, stream{"payments", "other"}, 0, [][]byte{event(6)}); err != nil {
		t.Fatal(err)
	}
	if v, err := c.head(ctx, of); v != third || err != nil {
		t.Errorf("version %d after an append that returned %d: %v", v, third, err)
	}
	for _, look := range []struct {
		what string
		read func() ([][]byte, error)
		want []int64
	}{
		{"stream", func() ([][]byte, error) { return c.read(ctx, of, 100) }, []int64{1, 2, 3, 4, 5}},
		{"first events of the stream", func() ([][]byte, error) { return c.read(ctx, of, 2) }, []int64{1, 2}},
		{"category", func() ([][]byte, error) { return c.category(ctx, "orders", 100) }, []int64{1, 2, 3, 4, 5}},
		{"other category", func() ([][]byte, error) { return c.category(ctx, "payments", 100) }, []int64{6}},
		{"first events of the category", func() ([][]byte, error) { return c.category(ctx, "orders", 3) }, []int64{1, 2, 3}},
	} {
		list, err := look.read()
		var got []int64
		for _, e := range list {
			n, e := numberOf(e)
			err = errors.Join(err, e)
			got = append(got, n)
		}
		if !slices.Equal(got, look.want) || err != nil {
			t.Errorf("%s: events %v, want %v: %v", look.what, got, look.want, err)
		}
	}
}
