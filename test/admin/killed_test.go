package admin_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// each is how often acts of each kind may take place.
const each = 20

var movers = m{"channel": orders, "name": "d:movers"}

// spare is a consumer to drop.
func spare(i int) m { return m{"channel": orders, "name": fmt.Sprint("spare-", i)} }

// with returns a request with more fields.
func with(request, more m) m {
	request = maps.Clone(request)
	maps.Copy(request, more)
	return request
}

// act returns the nth act, and how the audit shows it. No two acts concern the same.
func act(n int) (method string, request m, shown string) {
	switch i := n / 5; n % 5 {
	case 0:
		return "ConfigureConsumer", with(workers, m{"settings": m{"maxDeliveries": 2 + i}}), fmt.Sprintf(`configure {"max_deliveries":%d,"ack_wait":"10ms"}`, 2+i)
	case 1:
		return "SetConsumerPosition", with(movers, m{"sequence": 1 + i}), fmt.Sprintf("set position to %d", 1+i)
	case 2:
		return "DiscardParked", with(workers, m{"sequences": []int{1 + 2*i}, "reason": "test"}), fmt.Sprintf("discard message %d: test", 1+2*i)
	case 3:
		return "ReplayParked", with(workers, m{"sequences": []int{2 + 2*i}}), fmt.Sprintf("replay message %d", 2+2*i)
	default:
		return "DropConsumer", spare(i), fmt.Sprint("drop ", i)
	}
}

// audited returns the acts of the audit, the oldest first, as act shows them.
func audited(t *testing.T, s *server) []string {
	t.Helper()
	var all []string
	for _, e := range s.do(t, "ListAudit", m{"pageSize": 1000})["entries"].([]any) {
		action, detail, target := e.(m)["action"].(string), e.(m)["detail"].(string), e.(m)["target"].(string)
		switch action {
		case "set position":
			_, detail, _ = strings.Cut(detail, " to ")
			detail = "to " + detail
		case "drop":
			_, detail, _ = strings.Cut(target, "spare-")
			detail, _, _ = strings.Cut(detail, `"`)
		}
		all = append(all, action+" "+detail)
	}
	slices.Reverse(all)
	return all
}

// state shows what the acts have made of the consumers, and of done what they must have.
func state(t *testing.T, s *server, done []string) (got, want string) {
	t.Helper()
	parked, spares, waiting, deliveries, position := map[string]bool{}, map[string]bool{}, 0, "1", "1"
	for i := range 2 * each {
		parked[strconv.Itoa(i+1)] = true
	}
	for i := range each {
		spares[strconv.Itoa(i)] = true
	}
	for _, act := range done {
		words := strings.FieldsFunc(act, func(r rune) bool { return strings.ContainsRune(` :,{}"`, r) })
		switch words[0] {
		case "configure":
			deliveries = words[2]
		case "set":
			position = words[3]
		case "discard":
			delete(parked, words[2])
		case "replay":
			delete(parked, words[2])
			waiting++
		case "drop":
			delete(spares, words[1])
		}
	}
	show := func(parked, spares []string, waiting, deliveries, position any) string {
		slices.Sort(parked)
		slices.Sort(spares)
		return fmt.Sprintf("max_deliveries %v, next %v, waiting %v, parked %v, spares %v", deliveries, position, waiting, parked, spares)
	}
	want = show(slices.Collect(maps.Keys(parked)), slices.Collect(maps.Keys(spares)), waiting, deliveries, position)
	var gotParked, gotSpares []string
	messages, _ := s.do(t, "ListParked", with(workers, m{"pageSize": 1000}))["messages"].([]any)
	for _, p := range messages {
		gotParked = append(gotParked, p.(m)["sequence"].(string))
	}
	for _, c := range s.do(t, "ListConsumers", m{"pageSize": 1000})["consumers"].([]any) {
		if _, i, found := strings.Cut(c.(m)["name"].(string), "spare-"); found {
			gotSpares = append(gotSpares, i)
		}
	}
	number := func(consumer m, field string) int {
		text, _ := consumer[field].(string)
		n, _ := strconv.Atoi(text)
		return n
	}
	w := s.consumer(t, workers)
	return show(gotParked, gotSpares, number(w, "unacked"), w["storedSettings"].(m)["maxDeliveries"], number(s.consumer(t, movers), "lastSent")+1), want
}

// TestKilled: the server is killed while acts go on. Each was done and is in the audit, or neither; those that were answered were done.
func TestKilled(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		var ids []string
		for i := range 2 * each {
			ids = append(ids, fmt.Sprint("e", i+1))
		}
		s.append(t, orders, ids...)
		s.do(t, "ConfigureConsumer", with(workers, m{"settings": m{"maxDeliveries": 1, "ackWait": "0.01s"}}))
		sc := s.connect(t, "worker")
		for _, group := range []m{workers, movers} {
			sub, _ := work(t, sc, orders, strings.TrimPrefix(group["name"].(string), "d:"), stan.MaxInflight(1000))
			if group["name"] == workers["name"] {
				s.until(t, workers, "parked", fmt.Sprint(2*each))
			}
			if err := sub.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s.do(t, "SetConsumerPosition", with(movers, m{"sequence": 1}))
		for i := range each {
			s.do(t, "ConfigureConsumer", with(spare(i), m{"settings": m{"paused": true}}))
		}
		before := len(audited(t, s))
		var done []string
		n := 0
		for _, answers := range []int{3, 12} {
			for len(done) < 5*each {
				method, request, shown := act(n)
				n++
				if len(done) >= answers {
					go s.Process.Signal(syscall.SIGKILL)
				}
				status, answer, err := s.call(patient(t), "Admin/"+method, request)
				if err != nil {
					break
				}
				if status != http.StatusOK {
					t.Fatalf("%s %v: %v", method, request, answer)
				}
				done = append(done, shown)
			}
			s.Kill()
			s.Restart()
			found := audited(t, s)[before:]
			if len(found) == len(done)+1 { // the act without an answer
				_, _, shown := act(n - 1)
				done = append(done, shown)
			}
			if !slices.Equal(found, done) {
				t.Fatalf("the audit has\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(done, "\n"))
			}
			if got, want := state(t, s, done); got != want {
				t.Fatalf("after %q:\n%s\nwant\n%s", done, got, want)
			}
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
