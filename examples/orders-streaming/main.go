// Command orders-streaming runs an order system on NATS Streaming and prints what happens. See README.md.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// configuration makes the server write each placed order to the channel kitchen, in the transaction of the event.
const configuration = `streaming {
	routes: [{ from: "eventstore.orders", types: "OrderPlaced", channel: "kitchen" }]
}
`

func main() { stage.Main("orders-streaming", run) }

func run(ctx context.Context, binary string, out io.Writer) error {
	return stage.Play(ctx, binary, out, configuration, tell)
}

func tell(story *stage.Story, server *stage.Server, client *eventstore.Client) error {
	ctx := story.Context()
	orders := newOrders(client)
	db, err := server.ReadModel(ctx, createView)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String() + "/orders"
	service := &orderService{orders: orders}
	story.Start("order service", func(ctx context.Context) error { return service.run(ctx, listener) })
	views := make([]func(), 2)
	for i := range views {
		v := &view{url: server.NATS, name: fmt.Sprintf("view-%d", i+1), db: db, story: story}
		views[i] = story.Start(v.name, v.run)
	}

	story.Chapter("Three orders arrive over HTTP. The service commits each as an event before it responds.")
	ids := []string{}
	for _, order := range []OrderPlaced{{"Ada", "soup", 900}, {"Bob", "unicorn", 9900}, {"Eve", "pasta", 1200}} {
		id, err := place(ctx, url, order)
		if err != nil {
			return err
		}
		story.Say("order service", "%s orders a %s: order %.8s", order.Customer, order.Dish, id)
		ids = append(ids, id)
	}
	repeated, err := place(ctx, url, OrderPlaced{"Ada", "soup", 900})
	if err != nil {
		return err
	}
	story.Say("order service", "Ada got no response and repeats the request: order %.8s", repeated)
	if repeated != ids[0] {
		return fmt.Errorf("a repeated request placed two orders, %s and %s", ids[0], repeated)
	}

	story.Chapter("The restaurant opens. Its cook decides on an order, and crashes before he acknowledges it.")
	dropped := make(chan string)
	cook := &restaurant{url: server.NATS, cook: "Gusteau", orders: orders, story: story, drop: dropped}
	crash := story.Start("restaurant", cook.run)
	select {
	case <-dropped:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	crash()

	story.Chapter("Another cook takes over the durable subscription. The unacknowledged order is redelivered, but not cooked twice.")
	cook = &restaurant{url: server.NATS, cook: "Remy", orders: orders, story: story}
	story.Start("restaurant", cook.run)
	if err := story.Wait("the view shows all decisions", decided(db, 3)); err != nil {
		return err
	}

	story.Chapter("A view crashes. The other one takes over its work.")
	views[0]()
	for _, order := range []OrderPlaced{{"Kim", "salad", 700}, {"Lou", "soup", 900}} {
		id, err := place(ctx, url, order)
		if err != nil {
			return err
		}
		story.Say("order service", "%s orders a %s: order %.8s", order.Customer, order.Dish, id)
		ids = append(ids, id)
	}
	if err := story.Wait("the view shows all decisions", decided(db, 5)); err != nil {
		return err
	}

	story.Chapter("At the end, the read model agrees with the events.")
	for _, id := range ids {
		order, version, err := orders.Load(ctx, id)
		if err != nil {
			return err
		}
		var customer, status string
		if err := db.QueryRowContext(ctx, "SELECT customer, status FROM orders_view WHERE id = ?", id).Scan(&customer, &status); err != nil {
			return err
		}
		story.Say("read model", "order %.8s of %s is %s", id, customer, status)
		if customer != order.Placed.Customer || status != order.Status || version != 2 {
			return fmt.Errorf("order %s is %+v at version %d, want version 2; the read model has customer %s, status %s", id, order, version, customer, status)
		}
	}
	story.Chapter("Every order was decided once.")
	return nil
}

// decided reports whether the read model shows the restaurant's decisions on n orders.
func decided(db *sql.DB, n int) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		var found int
		err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders_view WHERE customer <> '' AND status <> 'placed'").Scan(&found)
		return found == n, err
	}
}

// place sends a customer's request. Requests with the same Idempotency-Key place one order.
func place(ctx context.Context, url string, order OrderPlaced) (string, error) {
	body, err := json.Marshal(order)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Idempotency-Key", order.Customer+"'s "+order.Dish)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(answer)))
	}
	var placed struct{ ID string }
	err = json.Unmarshal(answer, &placed)
	return placed.ID, err
}
