package flowroute_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// TestRequests checks what goes over the wire, method, URL and body.
func TestRequests(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("PST", -8*3600))
	tests := []struct {
		name string
		call func(ctx context.Context, c *flowroute.Client)
		want recorded
	}{
		{"SMS", func(ctx context.Context, c *flowroute.Client) { c.SendMessage(ctx, hello, flowroute.Write{}) },
			recorded{Method: "POST", URL: "/v2.1/messages", Body: `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","body":"hello there"}}}`}},
		{"MMS", func(ctx context.Context, c *flowroute.Client) {
			c.SendMessage(ctx, flowroute.Message{From: sender, To: recipient, MediaURLs: []string{"https://example.com/cat.png"}, DLRCallback: "https://example.com/dlr?a=b&c=d"}, flowroute.Write{})
		}, recorded{Method: "POST", URL: "/v2.1/messages", Body: `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","media_urls":["https://example.com/cat.png"],"dlr_callback":"https://example.com/dlr?a=b\u0026c=d"}}}`}},
		{"text as MMS", func(ctx context.Context, c *flowroute.Client) {
			m := hello
			m.IsMMS = new(true)
			c.SendMessage(ctx, m, flowroute.Write{})
		}, recorded{Method: "POST", URL: "/v2.1/messages", Body: `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","body":"hello there","is_mms":true}}}`}},
		{"MDR", func(ctx context.Context, c *flowroute.Client) { c.MDR(ctx, "mdr2-abc") },
			recorded{Method: "GET", URL: "/v2.1/messages/mdr2-abc"}},
		{"MDR page", func(ctx context.Context, c *flowroute.Client) {
			c.MDRPage(ctx, flowroute.MDRQuery{Start: start, End: start, Limit: 3, Offset: 6})
		}, recorded{Method: "GET", URL: "/v2.1/messages?end_date=2026-01-02T11%3A04%3A05.68Z&limit=3&offset=6&start_date=2026-01-02T11%3A04%3A05.67Z"}},
		{"MDRs", func(ctx context.Context, c *flowroute.Client) {
			for range c.MDRs(ctx, flowroute.MDRQuery{Start: start}) {
			}
		}, recorded{Method: "GET", URL: "/v2.1/messages?limit=1000&offset=0&start_date=2026-01-02T11%3A04%3A05.67Z"}},
		{"area codes", func(ctx context.Context, c *flowroute.Client) {
			for range c.AreaCodes(ctx, flowroute.AreaCodeQuery{MaxSetupCost: new(3.25)}) {
			}
		}, recorded{Method: "GET", URL: "/v2/numbers/available/areacodes?limit=400&max_setup_cost=3.25&offset=0"}},
		{"exchanges", func(ctx context.Context, c *flowroute.Client) {
			for range c.Exchanges(ctx, flowroute.ExchangeQuery{AreaCode: "347", MaxSetupCost: new(0.0), Limit: 5, Offset: 10}) {
			}
		}, recorded{Method: "GET", URL: "/v2/numbers/available/exchanges?areacode=347&limit=5&max_setup_cost=0&offset=10"}},
		{"search", func(ctx context.Context, c *flowroute.Client) {
			for range c.AvailableNumbers(ctx, flowroute.NumberSearch{StartsWith: "646", Contains: "3", EndsWith: "7", RateCenter: "nwyrcyzn01", State: "ny", NumberType: "longcode", ISOCountry: "US", OrderBy: "tn,asc"}) {
			}
		}, recorded{Method: "GET", URL: "/v2/numbers/available?contains=3&ends_with=7&iso_country=US&limit=200&number_type=longcode&offset=0&order_by=tn%2Casc&rate_center=nwyrcyzn01&starts_with=646&state=ny"}},
		{"purchase", func(ctx context.Context, c *flowroute.Client) {
			c.PurchaseNumber(ctx, sender, flowroute.PurchaseOptions{}, flowroute.Write{})
		}, recorded{Method: "POST", URL: "/v2/numbers/12065550100", Body: `{}`}},
		{"purchase with options", func(ctx context.Context, c *flowroute.Client) {
			c.PurchaseNumber(ctx, sender, flowroute.PurchaseOptions{CNAMLookups: new(false), MessagingEnabled: new(true), MessagingEmail: "a@example.com", MessagingCallbackURL: "https://example.com"}, flowroute.Write{})
		}, recorded{Method: "POST", URL: "/v2/numbers/12065550100", Body: `{"cnam_lookups_enabled":false,"messaging_enabled":true,"messaging_email":"a@example.com","messaging_callback_url":"https://example.com"}`}},
		{"numbers", func(ctx context.Context, c *flowroute.Client) {
			for range c.Numbers(ctx, flowroute.NumberQuery{StartsWith: "1206", EndsWith: "0", Contains: "55", Alias: "front desk"}) {
			}
		}, recorded{Method: "GET", URL: "/v2/numbers?alias=front+desk&contains=55&ends_with=0&limit=200&offset=0&starts_with=1206"}},
		{"number", func(ctx context.Context, c *flowroute.Client) { c.Number(ctx, sender) },
			recorded{Method: "GET", URL: "/v2/numbers/12065550100"}},
		{"alias", func(ctx context.Context, c *flowroute.Client) {
			c.SetAlias(ctx, sender, "NYC Number", flowroute.Write{})
		},
			recorded{Method: "PATCH", URL: "/v2/numbers/12065550100", Body: `{"type":"number","alias":"NYC Number"}`}},
		{"routes", func(ctx context.Context, c *flowroute.Client) {
			for range c.Routes(ctx, flowroute.RouteQuery{Type: flowroute.RouteSIPReg}) {
			}
		}, recorded{Method: "GET", URL: "/v2/routes?limit=200&offset=0&route_type=sip-reg"}},
		{"new route", func(ctx context.Context, c *flowroute.Client) {
			c.CreateRoute(ctx, flowroute.NewRoute{Type: flowroute.RouteHost, Value: "www.example.com", Alias: "new_route_id"}, flowroute.Write{})
		}, recorded{Method: "POST", URL: "/v2/routes", Body: golden(t, "route_request")}},
		{"primary route", func(ctx context.Context, c *flowroute.Client) {
			c.SetPrimaryRoute(ctx, sender, "1234", flowroute.Write{})
		}, recorded{Method: "PATCH", URL: "/v2/numbers/12065550100/relationships/primary_route", Body: golden(t, "relationship_request")}},
		{"failover route", func(ctx context.Context, c *flowroute.Client) {
			c.SetFailoverRoute(ctx, sender, "1234", flowroute.Write{})
		}, recorded{Method: "PATCH", URL: "/v2/numbers/12065550100/relationships/failover_route", Body: golden(t, "relationship_request")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			test.call(t.Context(), newClient(t, server.URL))
			got := server.last.Load()
			if got == nil {
				t.Fatal("no request came")
			}
			if got.Method != test.want.Method || got.URL != test.want.URL {
				t.Errorf("got  %s %s\nwant %s %s", got.Method, got.URL, test.want.Method, test.want.URL)
			}
			if want := strings.TrimSpace(test.want.Body); got.Body != want && !sameJSON(got.Body, want) {
				t.Errorf("body:\n got %s\nwant %s", got.Body, want)
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && cmp.Equal(x, y)
}

// TestInvalidArguments: no request is made of what cannot be right.
func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	none := flowroute.E164{}
	message := func(change func(*flowroute.Message)) func(context.Context, *flowroute.Client) error {
		return func(ctx context.Context, c *flowroute.Client) error {
			m := hello
			change(&m)
			_, err := c.SendMessage(ctx, m, flowroute.Write{})
			return err
		}
	}
	tests := []struct {
		name string
		call func(ctx context.Context, c *flowroute.Client) error
		want string
	}{
		{"no sender", message(func(m *flowroute.Message) { m.From = none }), "send message: not sent: invalid argument: message has no sender"},
		{"no recipient", message(func(m *flowroute.Message) { m.To = none }), "send message: not sent: invalid argument: message has no recipient"},
		{"nothing to say", message(func(m *flowroute.Message) { m.Body = "" }), "send message: not sent: invalid argument: message has neither body nor media"},
		{"not UTF-8", message(func(m *flowroute.Message) { m.Body = "\xff" }), "send message: not sent: invalid argument: message body is not UTF-8"},
		{"media", message(func(m *flowroute.Message) { m.MediaURLs = []string{"https://example.com/a", "file:///etc/passwd"} }), "send message: not sent: invalid argument: media URL 2 is not an http or https URL"},
		{"callback", message(func(m *flowroute.Message) { m.DLRCallback = "/dlr?secret" }), "send message: not sent: invalid argument: DLR callback is not an http or https URL"},
		{"MDR id", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.MDR(ctx, "../numbers")
			return err
		}, `look up MDR: invalid argument: MDR id "../numbers"`},
		{"no MDR id", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.MDR(ctx, "")
			return err
		}, `look up MDR: invalid argument: MDR id ""`},
		{"no start", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.MDRPage(ctx, flowroute.MDRQuery{})
			return err
		}, "list MDRs: invalid argument: MDR query has no start"},
		{"end before start", func(ctx context.Context, c *flowroute.Client) error {
			now := time.Now()
			_, err := c.MDRPage(ctx, flowroute.MDRQuery{Start: now, End: now.Add(-1)})
			return err
		}, "list MDRs: invalid argument: MDR query ends before it starts"},
		{"negative limit", func(ctx context.Context, c *flowroute.Client) error {
			for _, err := range c.Routes(ctx, flowroute.RouteQuery{Limit: -1}) {
				return err
			}
			return nil
		}, "list routes: invalid argument: limit -1 and offset 0 must not be negative"},
		{"no number", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.PurchaseNumber(ctx, none, flowroute.PurchaseOptions{}, flowroute.Write{})
			return err
		}, "purchase number: not sent: invalid argument: no number given"},
		{"long alias", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.SetAlias(ctx, sender, strings.Repeat("é", 65), flowroute.Write{})
			return err
		}, "set alias: not sent: invalid argument: alias has 65 characters, at most 64 are allowed"},
		{"built-in route type", func(ctx context.Context, c *flowroute.Client) error {
			_, err := c.CreateRoute(ctx, flowroute.NewRoute{Type: flowroute.RouteSIPReg, Value: "x", Alias: "x"}, flowroute.Write{})
			return err
		}, `create route: not sent: invalid argument: route type "sip-reg" cannot be created`},
		{"no route", func(ctx context.Context, c *flowroute.Client) error {
			return c.SetPrimaryRoute(ctx, sender, "", flowroute.Write{})
		}, "set primary route: not sent: invalid argument: no route id given"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(200, "{}"))
			err := test.call(t.Context(), newClient(t, server.URL))
			if !errors.Is(err, flowroute.ErrInvalid) || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if got := server.requests.Load(); got != 0 {
				t.Errorf("got %d requests, want none", got)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	if hello.MMS() {
		t.Error("a text is no MMS")
	}
	for name, m := range map[string]flowroute.Message{
		"media":         {MediaURLs: []string{"https://example.com/cat.png"}},
		"is_mms":        {IsMMS: new(true)},
		"media, is_mms": {MediaURLs: []string{"https://example.com/cat.png"}, IsMMS: new(false)},
	} {
		if !m.MMS() {
			t.Errorf("%s: want an MMS", name)
		}
	}
}
