package jobs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestDecodePurchase(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		json string
		want []problem
	}{
		"number":                  {`{"number":"+12065550100"}`, nil},
		"search":                  {`{"search":{"starts_with":"1206","contains":"55","ends_with":"0","rate_center":"seattle","state":"WA","number_type":"toll-free"}}`, nil},
		"costs as numbers":        {`{"number":"2065550100","max_setup_cost":1,"max_monthly_cost":1.25}`, nil},
		"costs as text":           {`{"number":"2065550100","max_setup_cost":"0","max_monthly_cost":"0.000000001"}`, nil},
		"all else":                {`{"v":1,"number":"2065550100","alias":"Support line","messaging_enabled":true,"primary_route":{"id":"83834"},"failover_route":{"type":"host","value":"sip.example.com"},"key":"k"}`, nil},
		"nothing":                 {`{}`, []problem{{"number", "required"}}},
		"both":                    {`{"number":"2065550100","search":{"state":"WA"}}`, []problem{{"search", "contradiction"}}},
		"empty search":            {`{"search":{}}`, []problem{{"search", "required"}}},
		"search of another kind":  {`{"search":"206"}`, []problem{{"search", "wrong_type"}}},
		"unknown field of search": {`{"search":{"area_code":"206"}}`, []problem{{"search.area_code", "unknown_field"}, {"search", "required"}}},
		"bad search":              {`{"search":{"starts_with":"20x","contains":"5-5","ends_with":"123456789012","state":"Wash","rate_center":"a\u0000","number_type":"any?"}}`, []problem{{"search.starts_with", "invalid"}, {"search.contains", "invalid"}, {"search.ends_with", "invalid"}, {"search.state", "invalid"}, {"search.rate_center", "control_character"}, {"search.number_type", "invalid"}}},
		"rate center alone":       {`{"search":{"rate_center":"seattle"}}`, []problem{{"search.state", "required"}}},
		"repeated in search":      {`{"search":{"state":"WA","state":"OR"}}`, []problem{{"search.state", "repeated_field"}}},
		"bad costs":               {`{"number":"2065550100","max_setup_cost":-1,"max_monthly_cost":"$1"}`, []problem{{"max_setup_cost", "invalid"}, {"max_monthly_cost", "invalid"}}},
		"costs of other kinds":    {`{"number":"2065550100","max_setup_cost":true,"max_monthly_cost":[1]}`, []problem{{"max_setup_cost", "wrong_type"}, {"max_monthly_cost", "wrong_type"}}},
		"long alias":              {`{"number":"2065550100","alias":"` + strings.Repeat("a", 65) + `"}`, []problem{{"alias", "too_long"}}},
		"bad routes":              {`{"number":"2065550100","primary_route":{},"failover_route":{"id":"83834","type":"host","value":"a"}}`, []problem{{"primary_route", "required"}, {"failover_route", "contradiction"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jobs.DecodePurchase([]byte(tt.json))
			if diff := cmp.Diff(tt.want, problemsOf(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecimalMoney(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want flowroute.Money
		ok   bool
	}{
		"0": {0, true}, "1": {1e9, true}, "1.25": {125e7, true}, "0.1": {1e8, true}, "0.000000001": {1, true},
		"999999999.999999999": {999999999999999999, true}, "007.50": {75e8, true},
		"": {}, ".5": {}, "5.": {}, "1e3": {}, "-1": {}, "+1": {}, "1,25": {}, "1.0000000001": {}, "1000000000": {}, "$1": {}, " 1": {}, "NaN": {}, "٣": {},
	}
	for text, tt := range tests {
		got, err := jobs.Decimal(text).Money()
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v, want %d, ok %v", text, got, err, tt.want, tt.ok)
		}
	}
}

func TestPurchaseOfReadsWhatWasAsked(t *testing.T) {
	t.Parallel()
	yes := true
	oneDollar, free := flowroute.Money(1e9), flowroute.Money(0)
	tests := map[string]struct {
		ask  jobs.Purchase
		want jobs.PurchaseSpec
	}{
		"number": {jobs.Purchase{Number: "(206) 555-0100"}, jobs.PurchaseSpec{Number: number(t, from)}},
		"search": {
			jobs.Purchase{
				Search: &jobs.NumberSearch{StartsWith: "206", State: "WA"}, MaxSetupCost: "1.00", MaxMonthlyCost: "0", Alias: "a",
				MessagingEnabled: &yes, PrimaryRoute: &jobs.RouteSpec{ID: "0"}, FailoverRoute: &jobs.RouteSpec{Type: "number", Value: "206 555 0123"}, Key: "k",
			},
			jobs.PurchaseSpec{
				Search: &flowroute.NumberSearch{StartsWith: "206", State: "WA"}, MaxSetupCost: &oneDollar, MaxMonthlyCost: &free, Alias: "a",
				MessagingEnabled: &yes, PrimaryRoute: &jobs.RouteSpec{ID: "0"}, FailoverRoute: &jobs.RouteSpec{Type: "number", Value: "12065550123", Alias: "12065550123"}, Key: "k",
			},
		},
	}
	b := setup(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			receipt, err := b.Purchase(t.Context(), tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			job := b.get(t, receipt.ID)
			if job.Type != ledger.PurchaseNumber || job.Queue != ledger.QueueNumbers || !job.Expires.IsZero() && job.Expires.Before(job.Created) {
				t.Errorf("job: got %+v", job)
			}
			got, err := jobs.PurchaseOf(job)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if n := len(b.nudges(t, ledger.QueueNumbers)); n == 0 {
				t.Error("no nudge in the queue")
			}
		})
	}
}
