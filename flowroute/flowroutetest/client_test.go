package flowroutetest_test

import (
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// The client of package flowroute and this simulator are written apart from
// each other; here they meet.

func client(t *testing.T, b *bundle) *flowroute.Client {
	t.Helper()
	c, err := flowroute.New(flowroute.Options{BaseURL: b.URL, Timeout: 3 * time.Second,
		Credentials: flowroute.Credentials{AccessKey: b.AccessKey, SecretKey: b.SecretKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func phone(t *testing.T, s string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func all[T any](t *testing.T, what string, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		out = append(out, v)
	}
	return out
}

func TestClientReadsEverything(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	c, ctx, w := client(t, b), t.Context(), flowroute.Write{}
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for what, lengths := range map[string][2]int{
		"area codes": {len(all(t, "area codes", c.AreaCodes(ctx, flowroute.AreaCodeQuery{Limit: 5}))), 12},
		"exchanges":  {len(all(t, "exchanges", c.Exchanges(ctx, flowroute.ExchangeQuery{AreaCode: "347", Limit: 2}))), 3},
		"for sale":   {len(all(t, "for sale", c.AvailableNumbers(ctx, flowroute.NumberSearch{}))), len(flowroutetest.DefaultInventory())},
		"owned":      {len(all(t, "owned", c.Numbers(ctx, flowroute.NumberQuery{Limit: 3}))), len(flowroutetest.DefaultOwned())},
	} {
		if lengths[0] != lengths[1] {
			t.Errorf("%s: got %d, want %d", what, lengths[0], lengths[1])
		}
	}
	yes := true
	bought, err := c.PurchaseNumber(ctx, phone(t, forSale), flowroute.PurchaseOptions{MessagingEnabled: &yes}, w)
	if ok("purchase", err); bought.Status != 201 || bought.Partial {
		t.Errorf("got %+v, want 201 and not partial", bought)
	}
	_, err = c.SetAlias(ctx, phone(t, forSale), "Front desk", w)
	ok("alias", err)
	made, err := c.CreateRoute(ctx, flowroute.NewRoute{Type: "host", Value: "pbx.example.com", Alias: "pbx"}, w)
	ok("route", err)
	ok("primary", c.SetPrimaryRoute(ctx, phone(t, forSale), made.ID, w))
	ok("failover", c.SetFailoverRoute(ctx, phone(t, forSale), "0", w))
	details, err := c.Number(ctx, phone(t, forSale))
	if ok("number", err); details.Alias != "Front desk" || details.PrimaryRoute.ID != made.ID || details.FailoverRoute.ID != "0" {
		t.Errorf("got %+v", details)
	}
	if got := all(t, "routes", c.Routes(ctx, flowroute.RouteQuery{Limit: 1})); len(got) != 2 || got[1] != made {
		t.Errorf("got routes %+v, want the second to be %+v", got, made)
	}
	sent, err := c.SendMessage(ctx, flowroute.Message{From: phone(t, forSale), To: phone(t, theirs), Body: "Table “7” is ready\n", MediaURLs: []string{"https://media.example.com/a.gif"}}, w)
	ok("send", err)
	one, err := c.MDR(ctx, sent.ID)
	if ok("MDR", err); one.Body != "Table “7” is ready\n" || !one.IsMMS || len(one.Media) != 1 || len(one.Receipts) != 3 || one.Delivery() != flowroute.DeliveryDelivered {
		t.Errorf("got %+v", one)
	}
	for range 6 {
		b.send("x")
	}
	if got := all(t, "MDRs", c.MDRs(ctx, flowroute.MDRQuery{Start: time.Now().Add(-time.Hour), Limit: 3})); len(got) != 7 || got[6].ID != sent.ID {
		t.Errorf("got %d MDRs, want 7 and the first sent last", len(got))
	}
}

// TestClientOutcomes: what each fault of a send is for the client, and that
// "refused" and "not sent" are never said of what was accepted.
func TestClientOutcomes(t *testing.T) {
	t.Parallel()
	accepted := map[string]bool{"accepted-garbage": true, "accepted-truncated": true, "accepted-empty": true}
	for _, f := range flowroutetest.KnownFaults() {
		if f.On[0] != flowroutetest.OpSend {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			b.SetFault(f.Name, flowroutetest.Fault{Count: 1, Delay: 100 * time.Millisecond})
			c := client(t, b)
			sent, err := c.SendMessage(t.Context(), flowroute.Message{From: phone(t, ours), To: phone(t, theirs), Body: "x"}, flowroute.Write{Deadline: time.Now().Add(time.Minute)})
			truth := len(b.Truth().Messages)
			switch result := flowroute.ResultOf(err); {
			case err == nil && truth != 1:
				t.Errorf("got success (%+v), but %d messages in the truth", sent, truth)
			case err != nil && result != flowroute.OutcomeUnknown && truth != 0:
				t.Errorf("got %v (%v), but the message was accepted", result, err)
			case accepted[f.Name] && (err != nil || sent.ID != ""):
				t.Errorf("got %+v and %v, want acceptance without an id", sent, err)
			}
		})
	}
}

func TestClientSeesLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	c := client(t, b)
	b.FailNext("429-retry-after", 1)
	_, err := c.SendMessage(t.Context(), flowroute.Message{From: phone(t, ours), To: phone(t, theirs), Body: "x"}, flowroute.Write{})
	api, ok := errors.AsType[*flowroute.APIError](err)
	if !ok || !errors.Is(err, flowroute.ErrRateLimited) || api.RetryAfter != 2*time.Second {
		t.Errorf("got %v, want a rate limit of 2 s", err)
	}
	b.OptOut(ours, theirs)
	_, err = c.SendMessage(t.Context(), flowroute.Message{From: phone(t, ours), To: phone(t, theirs), Body: "x"}, flowroute.Write{})
	if api, ok = errors.AsType[*flowroute.APIError](err); !ok || !api.OptedOut() {
		t.Errorf("got %v, want an opt-out", err)
	}
	if diff := cmp.Diff(0, len(b.Truth().Messages)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
