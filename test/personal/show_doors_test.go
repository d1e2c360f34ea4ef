package personal_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// found says what of the person is somewhere.
type found struct{ first, last bool }

var everything = found{true, true}

func foundIn(text string) found {
	text = strings.ToLower(text) // e-mail addresses are in lower case
	return found{strings.Contains(text, strings.ToLower(firstName)), strings.Contains(text, strings.ToLower(lastName))}
}

func (f found) String() string {
	switch f {
	case found{}:
		return "nothing"
	case everything:
		return "both names"
	case found{first: true}:
		return "first name"
	}
	return "last name"
}

// row adds a line to the table of what was found where.
func (s *show) row(where string, before, after found) {
	s.note("%-48s %-11s -> %s", where, before, after)
}

func (s *show) note(format string, args ...any) {
	s.report = append(s.report, fmt.Sprintf(format, args...))
}

// door is a way to read the log. look returns what it shows to whoever has all rights to read, which before the person is erased is before.
type door struct {
	name   string
	before found
	look   func(*testing.T) string
}

func (s *show) look(t *testing.T, doors []door) map[string]found {
	t.Helper()
	all := map[string]found{}
	for _, d := range doors {
		all[d.name] = foundIn(d.look(t))
	}
	return all
}

// doors returns the ways to read the log. All but the first few events are about others.
func (s *show) doors() []door {
	plain, none := found{first: true}, found{} // encrypted fields are closed to SQL, copies and streams
	all := []door{{"SQL, all tables", plain, s.tables}, {"JetStream, stream of both channels", plain, s.streamed}}
	for on, before := range map[string]found{visits: plain, channel: {last: true}} {
		all = append(all,
			door{"API, Read " + on, before, func(t *testing.T) string {
				return s.readAll(t, &eventstorev1.ReadRequest{Channel: on, Limit: 10})
			}},
			door{"API, Read by aggregate, " + on, before, func(t *testing.T) string {
				return s.readAll(t, &eventstorev1.ReadRequest{Query: &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Channels: []string{on}, AggregateIds: []string{person}}}}})
			}},
			door{"API, Subscribe " + on, before, func(t *testing.T) string { return s.subscribed(t, on) }},
			door{"console, " + on, before, func(t *testing.T) string { return s.console(t, on) }},
			door{"export, " + on, before, func(t *testing.T) string {
				var text strings.Builder
				for _, format := range []string{"ndjson", "csv", "cloudevents"} {
					text.WriteString(s.tool(t, "clerk", "export", on, "--format", format))
				}
				return text.String()
			}},
		)
	}
	for on, before := range map[string]found{visits: plain, visited: plain, channel: none, copies: none} {
		all = append(all, door{"NATS Streaming, replay of " + on, before, func(t *testing.T) string {
			_, sc := s.connect(t, fmt.Sprintf("reader-%s-%d", strings.ReplaceAll(on, ".", "-"), len(s.report)))
			defer func() { _ = sc.Close() }()
			return strings.Join(received(t, sc, on, 3), "\n")
		}})
	}
	slices.SortFunc(all, func(a, b door) int { return strings.Compare(a.name, b.name) })
	return all
}

// tables returns every column that may hold what was published or said of it.
func (s *show) tables(t *testing.T) string {
	t.Helper()
	var all []string
	for _, text := range []string{
		"SELECT data FROM Messages", "SELECT event_data FROM events WHERE event_data IS NOT NULL", "SELECT metadata FROM events WHERE metadata IS NOT NULL",
		"SELECT tags FROM events WHERE tags IS NOT NULL", "SELECT tag FROM EventTags", "SELECT ordering_key FROM Parked", "SELECT reason FROM parked_messages",
		"SELECT reason FROM Erasures", "SELECT selector FROM Erasures", "SELECT data FROM ErasedMessages", "SELECT detail FROM AuditEntries", "SELECT target FROM AuditEntries",
	} {
		all = append(all, column(t, s.driver, s.source, text)...)
	}
	return strings.Join(all, "\n")
}

// readAll returns what a request reads, as the clerk, who has the right personal.
func (s *show) readAll(t *testing.T, req *eventstorev1.ReadRequest) string {
	t.Helper()
	stream, err := s.as(t, "clerk").Read(patient(t), req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	for stream.Receive() {
		for _, e := range stream.Msg().GetEvents() {
			text.WriteString(inClear(e))
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// inClear returns all that an event says.
func inClear(e *eventstorev1.RecordedEvent) string {
	return protojson.Format(e) + "\n" + string(e.GetEvent().GetEventData()) + "\n"
}

// subscribed returns the first events of a channel, as a subscriber gets them.
func (s *show) subscribed(t *testing.T, on string) string {
	t.Helper()
	stream, err := s.as(t, "clerk").Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: on})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	for events := 0; events < 3; {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		for _, e := range stream.Msg().GetEvents() {
			text.WriteString(inClear(e))
			events++
		}
	}
	return text.String()
}

// streamed returns what the stream of JetStream has of the person's aggregates.
func (s *show) streamed(t *testing.T) string {
	t.Helper()
	nc, sc := s.connect(t, fmt.Sprintf("streams-%d", len(s.report)))
	defer func() { _ = sc.Close() }()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var stream jetstream.Stream
	eventually(t, "the stream has the first events", func() bool {
		stream, err = js.Stream(patient(t), "CUSTOMERS")
		return err == nil && stream.CachedInfo().State.LastSeq >= 8
	})
	var text strings.Builder
	for seq := range uint64(20) {
		if m, err := stream.GetMsg(patient(t), seq+1); err == nil {
			fmt.Fprintln(&text, m.Header, string(m.Data))
		}
	}
	return text.String()
}

var formField = regexp.MustCompile(`name="form" value="([^"]+)"`)

// console returns the console's pages about the person, as the clerk sees them: events, their pages, the aggregate, and a download.
func (s *show) console(t *testing.T, on string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	read := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %v\n%s", resp.Request.URL, resp.Status, err, text)
		}
		return string(text)
	}
	base := "http://" + s.address + "/console/"
	form := formField.FindStringSubmatch(read(client.Get(base + "login")))
	if form == nil {
		t.Fatal("the console has no form to log in")
	}
	read(client.PostForm(base+"login", url.Values{"token": {"clerk"}, "form": {form[1]}}))
	filter := "?channel=" + on + "&aggregate=" + person
	events := read(client.Get(base + "events" + filter))
	text := events + read(client.Get(base+"live/download"+filter))
	places := regexp.MustCompile(`/console/events/\d+`).FindAllString(events, -1)
	if len(places) == 0 {
		t.Fatalf("the console lists no event of the person:\n%s", events)
	}
	for _, place := range places {
		text += read(client.Get("http://" + s.address + place))
	}
	kind := map[string]string{visits: "Visitor", channel: "Customer"}[on]
	return text + read(client.Get(base+"aggregate?channel="+on+"&type="+kind+"&id="+person))
}
