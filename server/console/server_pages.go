package console

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/monitor"
)

// routesBody are the routes and the relays that fill streams.
type routesBody struct {
	Routes []string
	Relays []monitor.RelayStatus
	Leads  bool
}

// routes shows where events are forwarded, and how far that is.
func (c *Console) routes(v *visit) error {
	return v.show("routes", "Routes and relays", "routes", routesBody{
		Routes: c.opts.Settings().Routes, Relays: c.opts.Monitor.Relays(), Leads: c.opts.Monitor.Term() != nil,
	})
}

// settingsBody are the settings that were given.
type settingsBody struct {
	Given    []figure
	Channels []string
}

// settings shows the configuration, without secrets.
func (c *Console) settings(v *visit) error {
	now := c.opts.Settings()
	body := settingsBody{Channels: now.Channels}
	for _, name := range slices.Sorted(maps.Keys(now.Given)) {
		body.Given = append(body.Given, figure{name, now.Given[name]})
	}
	return v.show("settings", "Settings", "settings", body)
}

// damageBody is what is known to be wrong in the database.
type damageBody struct {
	Rows   []string
	Number int
	verification
}

func (c *Console) damageBody() damageBody {
	rows, n := c.opts.Monitor.Damaged()
	now, _ := c.verifier.current()
	return damageBody{rows, n, now}
}

// damage shows damaged rows that the server met, and what the last verification found.
func (c *Console) damage(v *visit) error {
	return v.show("damage", "Damage", "damage", c.damageBody())
}

// damageEvery bounds how often a page learns of the progress of a verification.
const damageEvery = 300 * time.Millisecond

// damageLive sends the page whenever the verification has come further.
func (c *Console) damageLive(v *visit) error {
	return v.stream(func(send func(message) error) error {
		for {
			_, next := c.verifier.current()
			part, err := v.render("damage", "live", c.damageBody())
			if err != nil {
				return err
			}
			if err := send(message{event: "replace", data: part}); err != nil {
				return err
			}
			select {
			case <-v.ctx.Done():
				return nil
			case <-c.stopped:
				return nil
			case <-next:
			}
			select {
			case <-v.ctx.Done():
				return nil
			case <-time.After(damageEvery):
			}
			if !v.renew() || !v.visitor.Admin(everywhere) {
				return nil
			}
		}
	})
}

// verify has the database verified. The audit says who asked for that.
func (c *Console) verify(v *visit) error {
	err := c.verifier.ask(cmp.Or(v.visitor.Name, "this machine"), func() error { return c.api.Record(v.ctx, "verify", "the database", "") })
	if err != nil {
		return err
	}
	return v.redirect("/console/damage?done=verify")
}
