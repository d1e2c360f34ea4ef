// Command orders-saga is an order system on gRPC, JetStream and SQL, which tells its own story: see README.md.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// stream has the events of orders and accounts, each on the subject ORDERS.<event type>.
const stream = "ORDERS"

// configuration of the server: it relays the data of the events to the stream, which it creates.
const configuration = `streaming {
	routes: [{ from: "eventstore.shop", stream: ORDERS, subject: "ORDERS.{event_type}", payload: data }]
}
`

func main() { stage.Main("orders-saga", run) }

func run(ctx context.Context, binary string, out io.Writer) error {
	return stage.Play(ctx, binary, out, configuration, tell, "-js")
}

// tell is the story.
func tell(story *stage.Story, server *stage.Server, client *eventstore.Client) error {
	ctx, url, shop := story.Context(), server.NATS, newShop(client)
	db, err := server.ReadModel(ctx, createView...)
	if err != nil {
		return err
	}
	story.Chapter("Customers have money, and order. Events are committed by gRPC, and relayed to the stream ORDERS.")
	for customer, cents := range map[string]int64{"Ada": 100_000, "Bob": 3_000} {
		if _, err := shop.accounts.Execute(ctx, customer, func(Account, uint64) ([]any, error) {
			return []any{AccountOpened{Cents: cents}}, nil
		}); err != nil {
			return err
		}
	}
	var placed []expectation
	place := func(customer string, cents int64, end string) error {
		id := uuid.NewString()
		if _, err := shop.orders.Execute(ctx, id, func(Order, uint64) ([]any, error) {
			return []any{OrderPlaced{Customer: customer, Cents: cents}}, nil
		}); err != nil {
			return err
		}
		story.Say("order service", "%s orders for %d cents: order %.8s", customer, cents, id)
		placed = append(placed, expectation{id, end})
		return nil
	}
	for _, order := range []struct {
		customer string
		cents    int64
		end      string
	}{
		{"Ada", 2_000, "completed"},
		{"Bob", 2_500, "completed"},
		{"Bob", 5_000, "cancelled"},  // he cannot pay
		{"Ada", 60_000, "cancelled"}, // she can, and the review rejects it
		{"Eve", 1_000, "cancelled"},  // she has no account
	} {
		if err := place(order.customer, order.cents, order.end); err != nil {
			return err
		}
	}
	if err := server.WaitForStream(story, stream); err != nil {
		return err
	}

	story.Chapter("A payment worker crashes between the payment and its acknowledgement.")
	dropped := make(chan string)
	member := func(name, group string, work func(*stage.Story, string) func(context.Context, jetstream.Msg) error, subjects ...string) *worker {
		return &worker{url: url, name: name, group: group, subjects: subjects, work: work(story, name), story: story}
	}
	clumsy := member("payment 1", "PAYMENT", shop.payment, "ORDERS.OrderPlaced")
	clumsy.drop = dropped
	crash := story.Start(clumsy.name, clumsy.run)
	select {
	case <-dropped:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	crash()

	story.Chapter("Two others take over, two reviewers review, a coordinator ends sagas, a view keeps the read model.")
	outcomes := []string{"ORDERS.PaymentDebited", "ORDERS.PaymentRefused", "ORDERS.ReviewApproved", "ORDERS.ReviewRejected"}
	for _, w := range []*worker{
		member("payment 2", "PAYMENT", shop.payment, "ORDERS.OrderPlaced"),
		member("payment 3", "PAYMENT", shop.payment, "ORDERS.OrderPlaced"),
		member("review 1", "REVIEW", shop.review, "ORDERS.OrderPlaced"),
		member("review 2", "REVIEW", shop.review, "ORDERS.OrderPlaced"),
	} {
		story.Start(w.name, w.run)
	}
	coordinator := member("coordinator 1", "SAGA", shop.coordinate, outcomes...)
	coordinator.drop = dropped
	crashCoordinator := story.Start(coordinator.name, coordinator.run)
	viewing := &view{url: url, db: db, story: story}
	crashView := story.Start("view", viewing.run)
	select {
	case <-dropped:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	crashCoordinator()
	crashView()

	story.Chapter("Coordinator and view crashed, too. Others go on, and more orders come.")
	coordinator = member("coordinator 2", "SAGA", shop.coordinate, outcomes...)
	story.Start(coordinator.name, coordinator.run)
	story.Start("view", viewing.run)
	for range 10 {
		if err := place("Ada", 1_000, "completed"); err != nil {
			return err
		}
	}
	if err := story.Wait("the read model knows the end of all sagas", func(ctx context.Context) (bool, error) {
		var open int
		err := db.QueryRowContext(ctx, "SELECT ? - (SELECT COUNT(*) FROM orders_view WHERE status <> 'placed')", len(placed)).Scan(&open)
		return open == 0, err
	}); err != nil {
		return err
	}
	return check(story, shop, db, placed)
}

// expectation is how the saga of an order must end.
type expectation struct{ id, status string }

// check compares the events and the read model with what must be.
func check(story *stage.Story, shop *shop, db *sql.DB, placed []expectation) error {
	ctx := story.Context()
	story.Chapter("At the end orders, accounts and the read model agree.")
	for _, want := range placed {
		order, _, err := shop.orders.Load(ctx, want.id)
		if err != nil {
			return err
		}
		var status string
		if err := db.QueryRowContext(ctx, "SELECT status FROM orders_view WHERE id = ?", want.id).Scan(&status); err != nil {
			return err
		}
		if order.Status != want.status || status != want.status {
			return fmt.Errorf("order %s should be %s; it is %+v, the read model says %s", want.id, want.status, order, status)
		}
	}
	story.Say("orders", "%d, each of which ended as it should", len(placed))
	for customer, cents := range map[string]int64{"Ada": 100_000 - 2_000 - 10*1_000, "Bob": 3_000 - 2_500} {
		// A payment that is given back after the order's end comes a little later.
		if err := story.Wait("the money of "+customer+" is right", func(ctx context.Context) (bool, error) {
			account, _, err := shop.accounts.Load(ctx, customer)
			if err != nil {
				return false, err
			}
			var viewed int64
			err = db.QueryRowContext(ctx, "SELECT cents FROM accounts_view WHERE customer = ?", customer).Scan(&viewed)
			return account.Cents == cents && viewed == cents, err
		}); err != nil {
			return err
		}
		story.Say("accounts", "%s has %d cents", customer, cents)
	}
	story.Chapter("Every saga has ended, and nobody paid for what was cancelled.")
	return nil
}
