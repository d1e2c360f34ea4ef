package eventstoretest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

func TestRefuse(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	server.Inject(eventstoretest.Append, 2, eventstoretest.Refuse(connect.CodeUnavailable))
	mustAppend(t, client, deposit("1")) // the third call

	server.Inject(eventstoretest.Append, 1, eventstoretest.Refuse(connect.CodePermissionDenied))
	if _, err := client.Append(within(t), channel, []eventstore.NewEvent{deposit("2")}); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("got %v", err)
	}
	server.Inject(eventstoretest.ReadAggregate, 1, eventstoretest.Refuse(connect.CodeUnavailable))
	if got := ids(t, client); got != "[1]" {
		t.Errorf("it has %s", got)
	}
}

// The answer is lost, the client asks again, and the event is there once.
func TestLoseAnswer(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	server.Inject(eventstoretest.Append, 3, eventstoretest.LoseAnswer())
	if at := mustAppend(t, client, deposit("1")); at[0].Version != 1 {
		t.Errorf("it is at %+v", at)
	}
	if got := ids(t, client); got != "[1]" {
		t.Errorf("it has %s", got)
	}
}

func TestConflict(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	want := eventstore.ConflictError{Channel: channel, AggregateType: "Account", AggregateID: "a", Current: 7}
	server.Inject(eventstoretest.Append, 1, eventstoretest.Conflict(want))
	_, err := client.Append(within(t), channel, []eventstore.NewEvent{deposit("1")})
	var conflict *eventstore.ConflictError
	if !errors.As(err, &conflict) || *conflict != want {
		t.Errorf("got %v, want %v", err, &want)
	}
	if got := ids(t, client); got != "[]" {
		t.Errorf("it has %s", got)
	}
}

func TestRival(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t, eventstoretest.Token("secret"))
	client := server.Client()
	server.Inject(eventstoretest.Append, 1, eventstoretest.Rival(func(ctx context.Context, rival *eventstore.Client) error {
		_, err := rival.Append(ctx, channel, []eventstore.NewEvent{deposit("rival")})
		return err
	}))
	_, err := client.Append(within(t), channel, []eventstore.NewEvent{deposit("1")}, eventstore.NoEvents("Account", "a"))
	var conflict *eventstore.ConflictError
	if !errors.As(err, &conflict) || conflict.Current != 1 {
		t.Errorf("got %v", err)
	}
	if got := ids(t, client); got != "[rival]" {
		t.Errorf("it has %s", got)
	}

	server.Inject(eventstoretest.Append, 1, eventstoretest.Rival(func(context.Context, *eventstore.Client) error { return errors.New("no money") }))
	if _, err := client.Append(within(t), channel, []eventstore.NewEvent{deposit("1")}); err == nil || !strings.Contains(err.Error(), "no money") {
		t.Errorf("got %v", err)
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()

	// An append that is called first is stored last.
	gate, held := eventstoretest.NewGate(), make(chan error, 1)
	server.Inject(eventstoretest.Append, 1, eventstoretest.Hold(gate))
	all := within(t)
	ctx := all
	go func() {
		_, err := client.Append(ctx, channel, []eventstore.NewEvent{deposit("held")})
		held <- err
	}()
	<-gate.Reached()
	mustAppend(t, client, deposit("passes"))
	gate.Open()
	if err := <-held; err != nil {
		t.Error(err)
	}
	if got := ids(t, client); got != "[passes held]" {
		t.Errorf("it has %s", got)
	}

	const by = 30 * time.Millisecond
	for _, fault := range []eventstoretest.Fault{eventstoretest.Delay(by), eventstoretest.DelayAnswer(by)} {
		server.Inject(eventstoretest.Append, 1, fault)
		began := time.Now()
		mustAppend(t, client, deposit(""))
		if took := time.Since(began); took < by {
			t.Errorf("it took %v", took)
		}
	}
	// A client that gives up does not know what is stored.
	server.Inject(eventstoretest.Append, 1, eventstoretest.DelayAnswer(time.Hour))
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for found := false; !found; {
			_, err := client.Get(all, channel, "late")
			found = err == nil
		}
		cancel()
	}()
	if _, err := client.Append(ctx, channel, []eventstore.NewEvent{deposit("late")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A fault that does not happen, and a goroutine of the server that is left, are failures of the test.
func TestFailures(t *testing.T) {
	t.Parallel()
	inner := &recorder{TB: t}
	inner.run(func() {
		server := eventstoretest.Start(inner)
		server.Inject(eventstoretest.Append, 2, eventstoretest.LoseAnswer())
	})
	if !inner.failed || !strings.Contains(inner.text, "LoseAnswer of Append was injected 2 times and happened 0 times") {
		t.Errorf("without the fault: %s", inner.text)
	}
	if !strings.Contains(inner.text, "Streaming Server is ready") {
		t.Errorf("a test that fails shows no log: %s", inner.text)
	}
	inner = &recorder{TB: t}
	inner.run(func() { eventstoretest.Start(inner) })
	if inner.failed || inner.text != "" {
		t.Errorf("a test that passes: %s", inner.text)
	}
	inner = &recorder{TB: t}
	inner.run(func() {
		server := eventstoretest.Start(inner)
		server.Inject(eventstoretest.Append, 0, eventstoretest.LoseAnswer())
	})
	if !inner.failed {
		t.Error("a fault happens 0 times")
	}
}

// A browser, or curl, meets faults too.
func TestFaultsOfPlainHTTP(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	server.Inject(eventstoretest.Append, 1, eventstoretest.Refuse(connect.CodeUnavailable))
	response, err := http.Post(server.URL()+string(eventstoretest.Append), "application/json", strings.NewReader(`{"channel":"eventstore.a"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s", response.Status)
	}
}
