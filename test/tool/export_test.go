package tool_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// fillOdd stores events whose fields are hard to keep.
func (u *user) fillOdd() {
	u.t.Helper()
	u.fill()
	binary := filepath.Join(u.home, "binary")
	if err := os.WriteFile(binary, []byte{0, 0xff, '\r', '\n', '"'}, 0o600); err != nil {
		u.t.Fatal(err)
	}
	for _, e := range [][]string{
		{"-a", "=cmd|' /C calc'!A0", "--id", "'-1", "-d", "two\nlines, \"quoted\"", "--tag", `a,b\c`, "--tag", "-t", "-m", "Über=\r\n=1", "-m", "plain=x"},
		{"-a", "b", "--id", "e6", "-d", "@" + binary, "--content-type", "application/octet-stream"},
		{"-a", "b", "--id", "e7", "-d", `-12.50`},
		{"-a", "b", "--id", "e8", "-d", ` { "spaces" : 1 } `, "--occurred-at", "2001-02-03T04:05:06.789Z"},
		{"-a", "b", "--id", "e9"},
	} {
		u.ok(append([]string{"append", "eventstore.odd", "-t", "Odd"}, e...)...)
	}
}

// content is what an import into a server keeps of events.
func content(all []m) string {
	var b strings.Builder
	for _, e := range all {
		if metadata, ok := e["metadata"].(m); ok {
			delete(metadata, "imported-recorded-at")
			if len(metadata) == 0 {
				delete(e, "metadata")
			}
		}
		for _, field := range []string{"channel", "id", "type", "aggregate_type", "aggregate_id", "version", "tags", "metadata", "content_type", "data", "data_base64"} {
			fmt.Fprintf(&b, "%v ", e[field])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// What was exported in any format and compression is imported, through a server and without one.
func TestExportImport(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fillOdd()
	read := u.ok("read", "-o", "json")
	want := content(parsed(t, read))
	for i, args := range [][]string{
		{"events.csv", "--format", "csv"}, {"events.ndjson.zst"}, {"events.ndjson.gz"}, {"events.cloud.zst", "--format", "cloudevents"}, {"raw.csv.gz", "--format", "csv", "--raw"},
	} {
		file := filepath.Join(u.home, args[0])
		contains(t, func() string {
			_, err := u.run(0, "", append([]string{"export", "--output", file}, args[1:]...)...)
			return err
		}(), "has 9 events")
		other := newUser(t, "EVENTSTORE_DSN="+databases.SQLite(t))
		if i < 2 {
			_, other = server(t, "sqlite", databases.SQLite(t))
		}
		contains(t, other.ok("import", file), "imported 9 events")
		if i < 2 {
			contains(t, other.ok("import", file), "imported 9 events") // and stores nothing
		}
		got := other.objects("read")
		if at, want := fmt.Sprint(got[0]["occurred_at"]), fmt.Sprint(parsed(t, read)[0]["recorded_at"]); i < 2 && at != want {
			t.Errorf("%s: it occurred at %s, was recorded at %s", args[0], at, want)
		}
		if text := content(got); args[0] != "raw.csv.gz" && text != want {
			t.Errorf("%s: imported\n%swant\n%s", args[0], text, want)
		}
	}
	file := filepath.Join(u.home, "events.ndjson.zst")
	for driver, source := range map[string]string{"sqlite": databases.SQLite(t), "postgres": databases.Postgres(t), "mysql": databases.MySQL(t)} {
		offline := newUser(t, "EVENTSTORE_DSN="+source, "EVENTSTORE_DRIVER="+driver)
		contains(t, offline.ok("import", file), "imported 9 events")
		if got := offline.ok("read", "-o", "json"); got != read {
			t.Errorf("%s has\n%swant\n%s", driver, got, read)
		}
		contains(t, offline.ok("verify"), "No faults found")
		offline.fails(failed, "not empty", "import", file)
	}
	// A spreadsheet runs nothing.
	text, err := os.ReadFile(filepath.Join(u.home, "events.csv"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(records) != 10 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, record := range records {
		for _, cell := range record {
			if cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
				t.Errorf("a spreadsheet may run %q", cell)
			}
		}
	}
	contains(t, u.ok("export", orders, "--format", "cloudevents", "--type", "OrderPaid"), `"specversion":"1.0","id":"e2","source":"/eventstore.orders","type":"OrderPaid","subject":"o1"`, `"tags":"customer:c9"`)
	u.fails(usage, "--format", "export", "--format", "xml")
}

// An export that was interrupted at any byte goes on, and ends with the same file.
func TestExportGoesOn(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fillOdd()
	for _, args := range [][]string{{"a.ndjson"}, {"a.csv.gz", "--format", "csv"}} {
		file := filepath.Join(u.home, args[0])
		export := append([]string{"export", "--output", file}, args[1:]...)
		u.ok(export...)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{5, len(whole) / 3, len(whole) - 40} {
			if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			if cut > 5 {
				newUser(t, "EVENTSTORE_DSN="+databases.SQLite(t)).fails(usage, "cut off", "import", file)
			}
			u.ok(export...)
			if got, err := os.ReadFile(file); err != nil || args[0] == "a.ndjson" && !bytes.Equal(got, whole) {
				t.Errorf("%s, cut at byte %d, became\n%s\nwant\n%s, %v", args[0], cut, got, whole, err)
			}
		}
		offline := newUser(t, "EVENTSTORE_DSN="+databases.SQLite(t))
		offline.ok("import", file)
		if got := column(offline.objects("read"), "id"); got != "e1 e2 e3 e4 '-1 e6 e7 e8 e9" {
			t.Errorf("%s went on to %s", args[0], got)
		}
	}
	file := filepath.Join(u.home, "a.ndjson")
	u.fails(refused, "complete", "export", "--output", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:200], 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(refused, "another export", "export", orders, "--output", file)
	if err := os.WriteFile(file, bytes.Replace(whole, []byte("OrderPaid"), []byte("OrderPain"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	newUser(t, "EVENTSTORE_DSN="+databases.SQLite(t)).fails(usage, "checksum", "import", file)
}

// An export leaves a file alone that is not one, and writes to a device or a pipe, from which it reads nothing.
func TestExportInOther(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fillOdd()
	file := filepath.Join(u.home, "mine.csv")
	const mine = "no,yes\n1,2\n"
	if err := os.WriteFile(file, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"ndjson", "csv", "cloudevents"} {
		u.fails(refused, "name another file", "export", "--format", format, "--output", file)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != mine {
		t.Errorf("the file became %q, %v", text, err)
	}
	want := u.ok("export", "--format", "csv")
	if got := u.ok("export", "--format", "csv", "--output", "/dev/stdout"); got != want {
		t.Errorf("a pipe got\n%s\nwant\n%s", got, want)
	}
	u.ok("export", "--output", os.DevNull)
	if _, err := os.Stat("/dev/full"); err == nil {
		u.fails(failed, "no space left", "export", "--output", "/dev/full")
	}
}

// An import that is killed stores each event once when it is run again.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	const events = 1000
	var lines []string
	for i := range events {
		lines = append(lines, fmt.Sprintf(`{"channel":"eventstore.c%d","type":"T","aggregate_id":"a%d","data":%d,"metadata":{"filler":"%01000d"}}`+"\n", i%2, i%10, i, i))
	}
	check := func(t *testing.T, u *user) {
		t.Helper()
		for _, sent := range []int{events / 3, events / 2} { // the rest never comes
			cmd := u.command("import", "-", "--batch", "7")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write([]byte(strings.Join(lines[:sent], ""))); err != nil { // more than a pipe holds: events are stored
				t.Fatal(err)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		last := u.command("import", "-", "--batch", "7")
		last.Stdin = strings.NewReader(strings.Join(lines, ""))
		output, err := last.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		contains(t, string(output), "imported 1,000 events")
		got := u.objects("read")
		if len(got) != events {
			t.Fatalf("there are %d events", len(got))
		}
		for i, e := range got {
			if e["data"] != float64(i) || e["version"] != float64(i/10+1) || e["position"] != float64(i+1) {
				t.Fatalf("event %d is %v", i, e)
			}
		}
	}
	t.Run("server", func(t *testing.T) {
		_, u := server(t, "sqlite", databases.SQLite(t))
		check(t, u)
	})
	eachDatabase(t, func(t *testing.T, driver, source string) {
		check(t, newUser(t, "EVENTSTORE_DSN="+source, "EVENTSTORE_DRIVER="+driver))
	})
}

// Files of others are imported: columns by their names, CloudEvents as lines or as a batch. What is not valid is named, with its line, and
// nothing after it is stored, unless it is to be left out.
func TestImportOfOthers(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	write := func(name, text string) string {
		file := filepath.Join(u.home, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	table := write("orders.csv", "\ufeffOrder No,Kind,Sum,Remark,Nothing\r\no1,OrderPlaced,12.5,\"two\nlines\",x\r\n,OrderPlaced,1,,\r\no2,OrderPlaced,3,,\r\n")
	args := []string{"import", table, "-c", orders, "--map", "Order No=aggregate_id", "--map", "Kind=type", "--map", "Sum=data", "--map", "Remark=metadata.remark"}
	u.fails(usage, `column "Nothing"`, args...)
	args = append(args, "--map", "Nothing=-")
	u.fails(usage, "line 4: it has no aggregate_id; the 1 events before it are stored", args...)
	if got := column(u.objects("read"), "aggregate_id"); got != "o1" {
		t.Errorf("stored %s", got)
	}
	bad := filepath.Join(u.home, "bad")
	u.fails(usage, "1 events were left out", append(args, "--skip-invalid", bad)...)
	if text, err := os.ReadFile(bad); err != nil || !strings.Contains(string(text), "line 4: it has no aggregate_id\n,OrderPlaced,1") {
		t.Errorf("left out %s, %v", text, err)
	}
	if got := column(u.objects("read"), "aggregate_id"); got != "o1 o2" {
		t.Errorf("stored %s", got)
	}
	cloud := `{"specversion":"1.0","id":"c%d","source":"/shop","type":"Paid","subject":"s","time":"2020-01-02T03:04:05Z","trace":"t","tags":"a\\,b,c","data":{"n":1}}`
	u.ok("import", "-c", "eventstore.cloud", write("batch.json", "["+fmt.Sprintf(cloud, 1)+",\n"+fmt.Sprintf(cloud, 2)+"]"), write("lines.json", fmt.Sprintf(cloud, 3)))
	got := u.objects("read", "eventstore.cloud")
	if column(got, "id") != "c1 c2 c3" || column(got[:1], "occurred_at") != "2020-01-02T03:04:05Z" || column(got[:1], "tags") != "[a,b c]" || column(got[:1], "metadata") != "map[trace:t]" {
		t.Errorf("CloudEvents became %v", got)
	}
	u.ok("import", "-c", "eventstore.cloud", write("batches.json", "["+fmt.Sprintf(cloud, 4)+"]\n["+fmt.Sprintf(cloud, 5)+"]\n"))
	if got := column(u.objects("read", "eventstore.cloud"), "id"); got != "c1 c2 c3 c4 c5" {
		t.Errorf("two batches became %s", got)
	}
	for _, id := range []string{"d1", "d2"} { // the same name each day
		u.ok("import", "-c", "eventstore.daily", write("daily.csv", "type,aggregate_id\nT,"+id+"\n"))
		u.ok("import", "-c", "eventstore.daily", filepath.Join(u.home, "daily.csv"))
	}
	if got := column(u.objects("read", "eventstore.daily"), "aggregate_id"); got != "d1 d2" {
		t.Errorf("two files of one name became %s", got)
	}
	u.fails(usage, "1 events were left out", "import", "-c", orders, "--skip-invalid", bad, write("quote.csv", "type,aggregate_id\nT,\"q\nT,r\n"))
	if text, err := os.ReadFile(bad); err != nil || !strings.Contains(string(text), "T,\"q\nT,r\n") {
		t.Errorf("left out %s, %v", text, err)
	}
	u.fails(usage, "line 2", "import", "-c", orders, write("bad.ndjson", `{"type":"T","aggregate_id":"z","id":"z1"}`+"\n"+`{"typ":"T"}`+"\n"))
	u.fails(conflict, "z1", "import", "-c", orders, write("other.ndjson", `{"type":"T","aggregate_id":"z","id":"z1","data":1}`))
	u.fails(refused, "not an event channel", "import", "-c", "plain", write("plain.ndjson", `{"type":"T","aggregate_id":"z"}`))
	u.fails(usage, "cut off", "import", "-c", orders, write("cut.json", "["+fmt.Sprintf(cloud, 9)))
	u.fails(notFound, "no such file", "import", "missing")
}
