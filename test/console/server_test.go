package console_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDamageAndSettings verifies the database while events arrive, and looks at what the server is configured with.
func TestDamageAndSettings(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-grpc_token", "s3cret-of-the-api", "-c", configured(t, `routes: [ { from: "eventstore.>", channel: "copies" } ]`))
		s.token = "s3cret-of-the-api"
		for range 20 {
			s.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{}`))
		}
		p := browser(t, s)
		p.open("/console/damage")
		p.sees("Token of the API")
		p.fill("token", "wrong")
		p.click("Log in")
		p.sees("No principal has this token")
		p.fill("token", "s3cret-of-the-api")
		p.click("Log in")
		p.sees("None since this server started")
		s.store(t, "eventstore.orders", order("o2", "OrderPlaced", `{}`))
		p.click("Verify now")
		p.sees("No faults.", "21 events of 2 aggregates", "asked for by grpc_token")

		p.open("/console/audit")
		p.sees("verify", "the database", "grpc_token")
		p.open("/console/settings")
		p.sees("grpc_token", "***", "store_timeout", "20s", "sql_driver")
		p.lacks("s3cret")
		p.lacks(source)
		p.open("/console/routes")
		p.sees("No route leads to a stream", `channel "copies"`)
		p.do(clickOn(".who button"))
		p.sees("Token of the API")
		p.open("/console/settings")
		p.sees("Token of the API")
	})
}

// TestRights looks as principals who may see a part, until a reload takes their token away.
func TestRights(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "access.conf")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		principal := func(name, rights string) string {
			return fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
		}
		boss := principal("boss", `admin: [">"]`)
		write("principals: [\n" + boss + principal("clerk", `read: ["eventstore.orders"]`) + "]\n")
		s := start(t, driver, source, "-access_file", file)
		s.token = "boss"
		s.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{}`))
		s.store(t, "eventstore.secret", order("x1", "SecretKept", `{}`))

		p := browser(t, s)
		login := func(token string) {
			t.Helper()
			p.open("/console/login")
			p.fill("token", token)
			p.click("Log in")
			p.sees("Leader")
		}
		login("clerk")
		p.sees("clerk")
		p.lacks("Settings")
		p.open("/console/events")
		p.sees("OrderPlaced")
		p.lacks("SecretKept")
		for path, shown := range map[string]string{
			"/console/events/2": "there is no event", "/console/events?channel=eventstore.secret": "permissions violation", "/console/settings": "for administrators",
			"/console/clients": "no right \"admin\"", "/console/act/kick?client=a": "Close a client", "/console/consumers": "There are no durables",
		} {
			p.open(path)
			p.sees(shown)
		}
		p.open("/console/act/kick?client=a")
		p.click("Close")
		p.sees("Not allowed")

		p.open("/console/events")
		p.sees("New events appear here")
		write("principals: [\n" + boss + "]\n") // while the page is live
		s.Process.Signal(syscall.SIGHUP)
		s.WaitLog(t, "Reloaded the access file")
		p.open("/console/events")
		p.sees("Token of the API")
		login("boss")
		p.open("/console/events")
		p.sees("SecretKept")
	})
}

// TestLeaderChanges follows events and the overview while the leader is killed and the standby takes over. The addresses of the servers are
// of two sites, so that no cookie goes with a link from one to the other.
func TestLeaderChanges(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		one, two := freePort(t), freePort(t)
		urls := []string{fmt.Sprintf("http://localhost:%d", one), fmt.Sprintf("http://127.0.0.1:%d", two)}
		args := []string{"-grpc_token", "boss", "-console_servers", strings.Join(urls, ",") + ",http://127.0.0.1:1"}
		first := launchOn(t, one, driver, source, args...)
		first.Ready()
		first.token, first.url = "boss", urls[0]
		first.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{}`))
		second := launchOn(t, two, driver, source, append(args, "-grpc_standby_reads")...)
		second.token = "boss"
		second.WaitLog(t, "Standby serves reads")

		p := browser(t, second)
		login := func(s *server) {
			t.Helper()
			p.s = s
			p.open("/console/")
			p.fill("token", "boss")
			p.click("Log in")
			p.sees("Log out")
		}
		login(first)
		p.sees("Leader")
		p.lacks("does not lead")
		login(second)
		p.sees("Standby", "This server does not lead. It read what it shows from the database at 20", "The leader is "+urls[0])
		p.checks("standby")
		p.open("/console/consumers")
		p.sees("Not now", "This server does not lead")
		p.click(urls[0])
		p.sees("There are no durables") // without another login
		if at := value[string](p, "location.href"); at != urls[0]+"/console/consumers" {
			t.Errorf("the link leads to %s", at)
		}
		p.open("/console/act/kick?client=a")
		p.click("Close")
		p.sees("Not now")
		p.click(urls[0])
		p.sees("Close a client")

		p.s = second
		p.open("/console/damage")
		p.click("Verify now") // the audit is the leader's
		p.sees("Not now", "The leader is "+urls[0])

		p.open("/console/events")
		p.sees("OrderPlaced", "New events appear here", "This server does not lead")
		first.store(t, "eventstore.orders", order("o1", "OrderPaid", `{}`))
		p.sees("OrderPaid") // live, on the standby
		first.Kill()
		second.Ready()
		second.store(t, "eventstore.orders", order("o1", "OrderSent", `{}`))
		p.sees("OrderSent") // the page has gone on by itself
		if n := value[int](p, "document.querySelectorAll('table.events tbody tr').length"); n != 3 {
			t.Errorf("%d events are shown, want 3:\n%s", n, p.text())
		}
		p.until("!document.body.innerText.includes('does not lead')", "still says that the server does not lead")
		p.open("/console/")
		p.sees("Leader", "serves clients")

		first.Launch() // now it stands by
		first.WaitLog(t, "standby mode")
		login(first)
		p.sees("This server does not lead. It has no events to show", "The leader is "+urls[1])
		p.open("/console/events")
		p.sees("Not now", "The leader is "+urls[1])
	})
}

// TestOff asks servers whose console is off.
func TestOff(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-console=false")
		resp, err := http.Get(s.url + "/console/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("a console that is off answers %s", resp.Status)
		}
	})
}
