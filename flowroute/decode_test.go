package flowroute_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

var sameRecord = cmp.Options{comparable, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(flowroute.Page[flowroute.MDR]{})}

// TestDecode reads the bodies of the API's documents, verbatim.
func TestDecode(t *testing.T) {
	t.Parallel()
	sipReg := flowroute.Route{ID: "0", Type: flowroute.RouteSIPReg, Alias: "sip-reg"}
	inbound := flowroute.MDR{
		ID: "mdr2-ca82be46e6ba11e79d08862d092cf73d", Direction: flowroute.Inbound,
		From: "12067392634", To: "12012673227", Body: "Hello are you there? ", Status: "delivered",
		MessageType: "longcode", AmountNanodollars: 4_000_000, AmountDisplay: "$0.0040",
		Timestamp: time.Date(2017, 12, 22, 1, 52, 39, 390_000_000, time.UTC),
	}
	inboundInList := inbound
	inboundInList.From = "12061231234"
	receiptTime := time.Date(2017, 12, 21, 16, 44, 35, 0, time.UTC)
	outbound := flowroute.MDR{
		ID: "mdr2-39cadeace66e11e7aff806cd7f24ba2d", Direction: flowroute.Outbound,
		From: "12012673227", To: "12061232634", Body: "test sms on v2", Status: "message buffered",
		MessageType: "longcode", AmountNanodollars: 4_000_000, AmountDisplay: "$0.0040",
		Timestamp: time.Date(2017, 12, 21, 16, 44, 34, 930_000_000, time.UTC),
		Receipts: []flowroute.DeliveryReceipt{
			{Level: 2, Status: "message buffered", StatusCode: new(1003), Description: "Message accepted by Carrier", Timestamp: receiptTime},
			{Level: 1, Status: "smsc submit", Description: "Message has been sent", Timestamp: receiptTime},
		},
	}
	bought := flowroute.NumberDetails{
		Number:       flowroute.Number{Number: mustE164("16502390214"), Type: "standard", RateCenter: "millbrae", State: "ca", CNAMLookups: true},
		PrimaryRoute: &flowroute.RouteRef{ID: "0"},
		Routes:       []flowroute.Route{sipReg},
	}

	tests := []struct {
		body   string
		status int
		call   func(ctx context.Context, c *flowroute.Client) (any, error)
		want   any
	}{
		{"message_sent", 202, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.SendMessage(ctx, hello, flowroute.Write{})
		}, flowroute.Sent{ID: "mdr2-39cadeace66e11e7aff806cd7f24ba2d", Status: 202}},
		{"mdr", 200, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.MDR(ctx, "mdr2-ca82be46e6ba11e79d08862d092cf73d")
		}, inbound},
		{"mdr_list", 200, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.MDRPage(ctx, flowroute.MDRQuery{Start: receiptTime, Limit: 2})
		}, flowroute.Page[flowroute.MDR]{Items: []flowroute.MDR{inboundInList, outbound}, More: true}},
		{"number", 201, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.PurchaseNumber(ctx, bought.Number.Number, flowroute.PurchaseOptions{}, flowroute.Write{})
		}, flowroute.Purchased{Number: bought, Status: 201}},
		{"number", 200, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.PurchaseNumber(ctx, bought.Number.Number, flowroute.PurchaseOptions{}, flowroute.Write{})
		}, flowroute.Purchased{Number: bought, Status: 200}},
		{"number", 207, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.PurchaseNumber(ctx, bought.Number.Number, flowroute.PurchaseOptions{}, flowroute.Write{})
		}, flowroute.Purchased{Number: bought, Status: 207, Partial: true}},
		{"number", 200, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.Number(ctx, bought.Number.Number)
		}, bought},
		{"number", 200, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.SetAlias(ctx, bought.Number.Number, "desk", flowroute.Write{})
		}, bought},
		{"route_created", 201, func(ctx context.Context, c *flowroute.Client) (any, error) {
			return c.CreateRoute(ctx, flowroute.NewRoute{Type: flowroute.RouteHost, Value: "il775u.sonsofodin.com", Alias: "new route"}, flowroute.Write{})
		}, flowroute.Route{ID: "98396", Type: flowroute.RouteHost, Value: "il775u.sonsofodin.com", Alias: "new route"}},
		{"areacodes", 200, firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.AreaCode] {
			return c.AreaCodes(ctx, flowroute.AreaCodeQuery{})
		}), flowroute.AreaCode{ID: "201"}},
		{"exchanges", 200, firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.Exchange] {
			return c.Exchanges(ctx, flowroute.ExchangeQuery{})
		}), flowroute.Exchange{ID: "347215"}},
		{"available", 200, firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.AvailableNumber] {
			return c.AvailableNumbers(ctx, flowroute.NumberSearch{})
		}), flowroute.AvailableNumber{Number: mustE164("16463439507"), Type: "standard", RateCenter: "nwyrcyzn01", State: "ny", SetupCost: 1_000_000_000, MonthlyCost: 1_250_000_000}},
		{"numbers", 200, firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.Number] {
			return c.Numbers(ctx, flowroute.NumberQuery{})
		}), flowroute.Number{Number: mustE164("12012673227"), Type: "standard", RateCenter: "oradell", State: "nj", CNAMLookups: true}},
		{"routes", 200, firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.Route] {
			return c.Routes(ctx, flowroute.RouteQuery{})
		}), sipReg},
	}
	for _, test := range tests {
		t.Run(test.body, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(test.status, golden(t, test.body)))
			got, err := test.call(t.Context(), newClient(t, server.URL))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, sameRecord); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type seq[T any] = func(yield func(T, error) bool)

// firstOf returns the first item of a list; so the iterator is stopped early.
func firstOf[T any](list func(context.Context, *flowroute.Client) seq[T]) func(context.Context, *flowroute.Client) (any, error) {
	return func(ctx context.Context, c *flowroute.Client) (any, error) {
		for item, err := range list(ctx, c) {
			return item, err
		}
		return nil, errors.New("the list is empty")
	}
}

// TestDecodeMDROddities has what documents do not promise but servers do.
func TestDecodeMDROddities(t *testing.T) {
	t.Parallel()
	body := `{"data":{"id":17,"type":"message","attributes":{
		"body":null,"status":"delivered","direction":"outbound","to":12065550199,"from":"12065550100",
		"amount_nanodollars":"7000000","message_encoding":"8","is_mms":"true","surprise":{"a":[1]},
		"timestamp":"2024-10-19T01:21:21.980000Z",
		"price_details":{"base_rate":"0.0040","surcharge_rate":0.003,"charged_cost":"0.014","segment_count":2},
		"delivery_receipts":[
			{"level":"2","status":"delivered","status_code":"1004","timestamp":"2017-12-21T16:44:35+00:00"},
			{"level":1,"status":"smsc submit","timestamp":null},
			{"level":1,"timestamp":"2017-12-21 16:44:35"}]},
		"relationships":{"media":{"data":[{"id":"m1","type":"media"},{"id":2,"type":"media"}]}}},
		"included":[{"type":"weather","id":"m1","attributes":7},
			{"type":"media","id":"m1","attributes":{"file_name":"cat.png","file_size":"123","mime_type":"image/png","url":"https://example.com/cat.png"},"links":{"self":"x"}}]}`
	server := newAPI(t, reply(200, body))
	got, err := newClient(t, server.URL).MDR(t.Context(), "mdr2-abc")
	if err != nil {
		t.Fatal(err)
	}
	second := time.Date(2017, 12, 21, 16, 44, 35, 0, time.UTC)
	want := flowroute.MDR{
		ID: "17", Direction: flowroute.Outbound, From: "12065550100", To: "12065550199", Status: "delivered",
		AmountNanodollars: 7_000_000, Encoding: 8, IsMMS: true,
		Timestamp:    time.Date(2024, 10, 19, 1, 21, 21, 980_000_000, time.UTC),
		PriceDetails: &flowroute.PriceDetails{BaseRate: 4_000_000, SurchargeRate: 3_000_000, ChargedCost: 14_000_000, SegmentCount: 2},
		Receipts: []flowroute.DeliveryReceipt{
			{Level: 2, Status: "delivered", StatusCode: new(1004), Timestamp: second},
			{Level: 1, Status: "smsc submit"},
			{Level: 1, Timestamp: second},
		},
		Media: []flowroute.Media{
			{ID: "m1", FileName: "cat.png", FileSize: 123, MIMEType: "image/png", URL: "https://example.com/cat.png"},
			{ID: "2"},
		},
	}
	if diff := cmp.Diff(want, got, sameRecord); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDecodeRefuses: what cannot be understood is an error, not a zero.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	lookUp := func(ctx context.Context, c *flowroute.Client) (any, error) { return c.MDR(ctx, "mdr2-abc") }
	search := firstOf(func(ctx context.Context, c *flowroute.Client) seq[flowroute.AvailableNumber] {
		return c.AvailableNumbers(ctx, flowroute.NumberSearch{})
	})
	tests := []struct {
		name, body string
		call       func(context.Context, *flowroute.Client) (any, error)
	}{
		{"html", "<html>", lookUp},
		{"empty", "", lookUp},
		{"cut off", `{"data":`, lookUp},
		{"no object", `{"data":"x"}`, lookUp},
		{"timestamp", `{"data":{"attributes":{"timestamp":"yesterday"}}}`, lookUp},
		{"amount", `{"data":{"attributes":{"amount_nanodollars":"a lot"}}}`, lookUp},
		{"flag", `{"data":{"attributes":{"is_mms":"perhaps"}}}`, lookUp},
		{"text", `{"data":{"attributes":{"body":["x"]}}}`, lookUp},
		{"no number", `{"data":[{"id":"x","attributes":{"setup_cost":1,"monthly_cost":1}}]}`, search},
		{"no price", `{"data":[{"id":"12065550100","attributes":{"monthly_cost":1}}]}`, search},
		{"price is null", `{"data":[{"id":"12065550100","attributes":{"setup_cost":null,"monthly_cost":1}}]}`, search},
		{"price is empty", `{"data":[{"id":"12065550100","attributes":{"setup_cost":"","monthly_cost":1}}]}`, search},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(200, test.body))
			if got, err := test.call(t.Context(), newClient(t, server.URL)); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

// TestNumberWithoutRoute has no included key, and nulls.
func TestNumberWithoutRoute(t *testing.T) {
	t.Parallel()
	server := newAPI(t, reply(200, `{"data":{"id":"12065550100","type":"number","attributes":{"messaging_enabled":false,"status":"PURCHASED","setup_cost":0,"monthly_cost":"1.25"},
		"relationships":{"primary_route":{"data":null},"e911_address":{"data":{"id":"20155","type":"e911"}},"cnam_preset":{"data":{"id":22671}}}}}`))
	got, err := newClient(t, server.URL).Number(t.Context(), sender)
	if err != nil {
		t.Fatal(err)
	}
	want := flowroute.NumberDetails{
		Number: flowroute.Number{Number: sender, MessagingEnabled: new(false), Status: "PURCHASED",
			SetupCost: new(flowroute.Money(0)), MonthlyCost: new(flowroute.Money(1_250_000_000))},
		E911ID: "20155", CNAMPresetID: "22671",
	}
	if diff := cmp.Diff(want, got, sameRecord); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWritesWithoutReadableAnswer: a 2xx counts, and the rest is filled with what
// was asked for.
func TestWritesWithoutReadableAnswer(t *testing.T) {
	t.Parallel()
	server := newAPI(t, reply(207, "<html>"))
	c := newClient(t, server.URL)
	bare := flowroute.NumberDetails{Number: flowroute.Number{Number: sender}}

	bought, err := c.PurchaseNumber(t.Context(), sender, flowroute.PurchaseOptions{}, flowroute.Write{})
	if diff := cmp.Diff(flowroute.Purchased{Number: bare, Status: 207, Partial: true}, bought, sameRecord); diff != "" || err != nil {
		t.Errorf("purchase: %v (-want +got):\n%s", err, diff)
	}
	named, err := c.SetAlias(t.Context(), sender, "desk", flowroute.Write{})
	if diff := cmp.Diff(bare, named, sameRecord); diff != "" || err != nil {
		t.Errorf("alias: %v (-want +got):\n%s", err, diff)
	}
	route, err := c.CreateRoute(t.Context(), flowroute.NewRoute{Type: "host", Value: "example.com", Alias: "x"}, flowroute.Write{})
	if want := (flowroute.Route{Type: "host", Value: "example.com", Alias: "x"}); route != want || err != nil {
		t.Errorf("route: got %+v, %v, want %+v", route, err, want)
	}
}
