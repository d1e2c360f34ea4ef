// Command orders-saga runs an order system on gRPC, JetStream and SQL, and prints what happens. See README.md.
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

// stream holds the events of orders and accounts, each on the subject ORDERS.<event type>.
const stream = "ORDERS"

// configuration makes the server create the stream and relay the data of the events to it.
const configuration = `streaming {
	routes: [{ from: "eventstore.shop", stream: ORDERS, subject: "ORDERS.{event_type}", payload: data }]
}
`

func main() { stage.Main("orders-saga", run) }

func run(ctx context.Context, binary string, out io.Writer) error {
	return stage.Play(ctx, binary, out, configuration, tell, "-js")
}

func tell(story *stage.Story, server *stage.Server, client *eventstore.Client) error {
	ctx, url, shop := story.Context(), server.NATS, newShop(client)
	db, err := server.ReadModel(ctx, createView...)
	if err != nil {
		return err
	}
	story.Chapter("Customers get money and order. Events are committed over gRPC and relayed to the stream ORDERS.")
	for customer, cents := range map[string]int64{"Ada": 100_000, "Bob": 3_000} {
		if _, err := shop.accounts.Execute(ctx, customer, func(Account, uint64) ([]any, error) {
			return []any{AccountOpened{Cents: cents}}, nil
		}); err != nil {
			return err
		}
	}
	var placed []expectation
	place := func(customer string, cents int64, status string) error {
		id := uuid.NewString()
		if _, err := shop.orders.Execute(ctx, id, func(Order, uint64) ([]any, error) {
			return []any{OrderPlaced{Customer: customer, Cents: cents}}, nil
		}); err != nil {
			return err
		}
		story.Say("order service", "%s orders for %d cents: order %.8s", customer, cents, id)
		placed = append(placed, expectation{id, status})
		return nil
	}
	for _, order := range []struct {
		customer string
		cents    int64
		status   string // at the end
	}{
		{"Ada", 2_000, "completed"},
		{"Bob", 2_500, "completed"},
		{"Bob", 5_000, "cancelled"},  // not enough money
		{"Ada", 60_000, "cancelled"}, // enough money, but rejected by the review
		{"Eve", 1_000, "cancelled"},  // no account
	} {
		if err := place(order.customer, order.cents, order.status); err != nil {
			return err
		}
	}
	if err := server.WaitForStream(story, stream); err != nil {
		return err
	}

	story.Chapter("A payment worker crashes after a payment, before it acknowledges the message.")
	dropped := make(chan string)
	member := func(name, group string, work func(*stage.Story, string) func(context.Context, jetstream.Msg) error, subjects ...string) *worker {
		return &worker{url: url, name: name, group: group, subjects: subjects, work: work(story, name), story: story}
	}
	payer := member("payment 1", "PAYMENT", shop.payment, "ORDERS.OrderPlaced")
	payer.drop = dropped
	crash := story.Start(payer.name, payer.run)
	select {
	case <-dropped:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	crash()

	story.Chapter("Two others take over. Two reviewers review, a coordinator ends sagas, a view maintains the read model.")
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

	story.Chapter("The coordinator and the view crashed too. Others take over, and customers place more orders.")
	coordinator = member("coordinator 2", "SAGA", shop.coordinate, outcomes...)
	story.Start(coordinator.name, coordinator.run)
	story.Start("view", viewing.run)
	for range 10 {
		if err := place("Ada", 1_000, "completed"); err != nil {
			return err
		}
	}
	if err := story.Wait("the read model shows the end of all sagas", func(ctx context.Context) (bool, error) {
		var open int
		err := db.QueryRowContext(ctx, "SELECT ? - (SELECT COUNT(*) FROM orders_view WHERE status <> 'placed')", len(placed)).Scan(&open)
		return open == 0, err
	}); err != nil {
		return err
	}
	return check(story, shop, db, placed)
}

// expectation is the status that an order must have at the end.
type expectation struct{ id, status string }

// check compares the events and the read model with the expectations.
func check(story *stage.Story, shop *shop, db *sql.DB, placed []expectation) error {
	ctx := story.Context()
	story.Chapter("At the end, orders, accounts and the read model agree.")
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
			return fmt.Errorf("order %s is %+v and %s in the read model, want %s", want.id, order, status, want.status)
		}
	}
	story.Say("orders", "all %d ended as expected", len(placed))
	for customer, cents := range map[string]int64{"Ada": 100_000 - 2_000 - 10*1_000, "Bob": 3_000 - 2_500} {
		// A refund may follow the end of an order.
		if err := story.Wait("the balance of "+customer+" is correct", func(ctx context.Context) (bool, error) {
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
	story.Chapter("Every saga has ended, and nobody paid for a cancelled order.")
	return nil
}
