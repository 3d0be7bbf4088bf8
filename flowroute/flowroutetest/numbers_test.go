package flowroutetest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// ids returns the ids of a listing.
func (b *bundle) ids(path string) []string {
	b.t.Helper()
	a := b.get(path)
	wantStatus(b.t, a, 200)
	out := []string{}
	for _, r := range a.at(b.t, "data").([]any) {
		out = append(out, r.(map[string]any)["id"].(string))
	}
	return out
}

func smallInventory() []flowroutetest.ForSale {
	return []flowroutetest.ForSale{
		{Number: "16465550107", RateCenter: "nwyrcyzn01", State: "ny", SetupCost: 1, MonthlyCost: 1.25},
		{Number: "+16465550137", RateCenter: "nwyrcyzn01", State: "ny", SetupCost: 3.99, MonthlyCost: 1.25},
		{Number: "16465560147", RateCenter: "nwyrcyzn01", State: "ny", SetupCost: 3, MonthlyCost: 2},
		{Number: "12065550130", RateCenter: "seattle", State: "wa", SetupCost: 1, MonthlyCost: 0.5},
		{Number: "18335550200", TollFree: true, SetupCost: 1, MonthlyCost: 1},
	}
}

func TestInventorySearch(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Inventory: smallInventory()})
	const base = "/v2/numbers/available"
	for _, c := range []struct {
		path string
		want []string
		self string // query
	}{
		{base + "/areacodes", []string{"206", "646"}, "limit=10&offset=0"},
		{base + "/areacodes?limit=1&offset=1", []string{"646"}, "limit=1&offset=1"},
		{base + "/areacodes?max_setup_cost=0.75", []string{}, "max_setup_cost=0&limit=10&offset=0"},
		{base + "/exchanges?areacode=646", []string{"646555", "646556"}, "areacode=646&limit=10&offset=0"},
		{base + "/exchanges?max_setup_cost=1.99&areacode=646", []string{"646555"}, "areacode=646&max_setup_cost=1&limit=10&offset=0"},
		{base, []string{"12065550130", "16465550107", "16465550137", "16465560147", "18335550200"}, "limit=10&offset=0"},
		{base + "?starts_with=646", []string{"16465550107", "16465550137", "16465560147"}, "starts_with=1646&limit=10&offset=0"},
		{base + "?starts_with=1646", []string{"16465550107", "16465550137", "16465560147"}, "starts_with=1646&limit=10&offset=0"},
		{base + "?starts_with=%2B1206", []string{"12065550130"}, "starts_with=1206&limit=10&offset=0"},
		{base + "?starts_with=646&ends_with=7&contains=3", []string{"16465550137"}, "contains=3&ends_with=7&starts_with=1646&limit=10&offset=0"},
		{base + "?state=NY&rate_center=NWYRCYZN01&limit=1", []string{"16465550107"}, "rate_center=NWYRCYZN01&state=NY&limit=1&offset=0"},
		{base + "?number_type=toll-free", []string{"18335550200"}, "number_type=toll-free&limit=10&offset=0"},
		{base + "?order_by=monthly_cost%2Cdesc&limit=2", []string{"16465560147", "16465550107"}, "order_by=monthly_cost%2Cdesc&limit=2&offset=0"},
		{base + "?iso_country=CA", []string{}, "iso_country=CA&limit=10&offset=0"},
		{base + "?limit=1000", []string{"12065550130", "16465550107", "16465550137", "16465560147", "18335550200"}, "limit=200&offset=0"},
		{base + "/areacodes?limit=1000", []string{"206", "646"}, "limit=400&offset=0"},
	} {
		t.Run(c.path, func(t *testing.T) {
			if diff := cmp.Diff(c.want, b.ids(c.path)); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			path, _, _ := strings.Cut(c.path, "?")
			if got, want := b.get(c.path).at(t, "links.self"), b.URL+path+"?"+c.self; got != want {
				t.Errorf("got self %v\nwant     %v", got, want)
			}
		})
	}
	a := b.get(base + "?starts_with=646&limit=2")
	if got, want := a.at(t, "links.next"), b.URL+base+"?starts_with=1646&limit=2&offset=2"; got != want {
		t.Errorf("got next %v\nwant     %v", got, want)
	}
	if links := b.get(base+"?starts_with=646&limit=3").at(t, "links").(map[string]any); links["next"] != nil {
		t.Errorf("got %v on the last page, want no next", links)
	}
	if !strings.Contains(a.body, `"setup_cost":1,`) || !strings.Contains(a.body, `"setup_cost":3.99,`) {
		t.Errorf("got %s, want a whole cost as 1 and the other as 3.99", a.body)
	}
	for _, query := range []string{"limit=0", "limit=x", "offset=-1", "starts_with=abc", "order_by=price", "order_by=tn%2Cup"} {
		wantStatus(t, b.get(base+"?"+query), 422)
	}
	wantStatus(t, b.get(base+"/areacodes?max_setup_cost=cheap"), 422)
}

func TestRefuseOverMax(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Choices: flowroutetest.Choices{RefuseOverMax: true}})
	wantStatus(t, b.get("/v2/numbers?limit=200"), 200)
	wantStatus(t, b.get("/v2/numbers?limit=201"), 422)
	wantStatus(t, b.get("/v2/numbers/available/areacodes?limit=400"), 200)
}

func TestPurchase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path, body string
		status           int
		messaging, cnam  bool
	}{
		{"without a body", "/v2/numbers/" + forSale, "", 201, false, false},
		{"options in the query", "/v2/numbers/" + forSale + "?messaging_enabled=true&cnam_lookups_enabled=true", "", 201, true, true},
		{"options in the body", "/v2/numbers/" + forSale, `{"messaging_enabled":true}`, 201, true, false},
		{"options as JSON:API", "/v2/numbers/" + forSale, `{"data":{"type":"number","attributes":{"messaging_enabled":"true"}}}`, 201, true, false},
		{"already ours", "/v2/numbers/" + ours, "", 422, false, false},
		{"taken by somebody else", "/v2/numbers/12125550199", "", 404, false, false},
		{"with a plus", "/v2/numbers/+" + forSale, "", 404, false, false},
		{"option of another type", "/v2/numbers/" + forSale, `{"messaging_enabled":7}`, 422, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			wantStatus(t, b.get("/v2/numbers/"+forSale), 404)
			a := b.do("POST", c.path, c.body)
			wantStatus(t, a, c.status)
			bought := b.Truth().Purchases
			if c.status != 201 {
				if len(bought) != 0 {
					t.Errorf("got purchases %v, want none", bought)
				}
				return
			}
			if len(bought) != 1 || bought[0].Number != forSale || bought[0].SetupCost != 1 {
				t.Errorf("got purchases %v, want %s for 1", bought, forSale)
			}
			attrs := a.at(t, "data.attributes").(map[string]any)
			if attrs["messaging_enabled"] != c.messaging || attrs["cnam_lookups_enabled"] != c.cnam || attrs["status"] != "PURCHASED" {
				t.Errorf("got attributes %v, want messaging %t, CNAM %t", attrs, c.messaging, c.cnam)
			}
			one := b.get("/v2/numbers/" + forSale)
			if one.at(t, "data.relationships.primary_route.data.id") != "0" || one.at(t, "included.0.attributes.route_type") != "sip-reg" {
				t.Errorf("got %s, want the built-in route as primary", one.body)
			}
			if got := b.ids("/v2/numbers/available?starts_with=" + forSale); len(got) != 0 {
				t.Errorf("still for sale: %v", got)
			}
			wantStatus(t, b.do("POST", c.path, c.body), 422) // never bought twice
			send := b.do("POST", "/v2.1/messages", fmt.Sprintf(`{"to":"%s","from":"%s","body":"x"}`, theirs, forSale))
			if want := map[bool]int{true: 202, false: 403}[c.messaging]; send.status != want {
				t.Errorf("sending from it: got status %d, want %d", send.status, want)
			}
		})
	}
}

func TestMessagingAfter(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{MessagingAfter: time.Minute})
	a := b.do("POST", "/v2/numbers/"+forSale+"?messaging_enabled=true", "")
	if got := a.at(t, "included.1.attributes.status"); got != "pending" {
		t.Errorf("got provisioning %v, want pending", got)
	}
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{{59 * time.Second, false}, {time.Minute, true}} {
		c.at(step.at)
		if got := b.get("/v2/numbers/"+forSale).at(t, "data.attributes.messaging_enabled"); got != step.want {
			t.Errorf("at %v: got messaging %v, want %t", step.at, got, step.want)
		}
	}
}

func TestAccountNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Owned: []string{"12065550101", "+12065550100", "12125550100"}})
	wantStatus(t, b.do("PATCH", "/v2/numbers/12065550101", `{"type":"number","alias":"Front desk"}`), 200)
	for path, want := range map[string][]string{
		"/v2/numbers":                          {"12065550100", "12065550101", "12125550100"},
		"/v2/numbers?starts_with=206":          {"12065550100", "12065550101"},
		"/v2/numbers?ends_with=0&contains=555": {"12065550100", "12125550100"},
		"/v2/numbers?alias=Front+desk":         {"12065550101"},
		"/v2/numbers?alias=front":              {},
		"/v2/numbers?limit=1&offset=2":         {"12125550100"},
	} {
		if diff := cmp.Diff(want, b.ids(path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestPatchNumber(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	const path = "/v2/numbers/" + ours
	for _, c := range []struct {
		name, path, body string
		status           int
		alias            string
	}{
		{"flat", path, `{"type":"number","alias":"NYC"}`, 200, "NYC"},
		{"JSON:API", path, `{"data":{"type":"number","attributes":{"alias":"LA"}}}`, 200, "LA"},
		{"no content type is fine, no type is not", path, `{"alias":"X"}`, 422, "LA"},
		{"wrong type", path, `{"type":"route","alias":"X"}`, 422, "LA"},
		{"alias too long", path, `{"type":"number","alias":"` + strings.Repeat("x", 65) + `"}`, 422, "LA"},
		{"encoded twice", path, `"{\"type\":\"number\",\"alias\":\"X\"}"`, 422, "LA"},
		{"not ours", "/v2/numbers/12125550199", `{"type":"number","alias":"X"}`, 404, "LA"},
		{"other attributes leave it", path, `{"type":"number","cnam_lookups_enabled":"true","messaging_enabled":false}`, 200, "LA"},
		{"null clears it", path, `{"type":"number","alias":null}`, 200, ""},
	} {
		a := b.do("PATCH", c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s: got status %d, want %d: %s", c.name, a.status, c.status, a.body)
		}
		if got := b.Truth().Numbers[ours].Alias; got != c.alias {
			t.Errorf("%s: got alias %q, want %q", c.name, got, c.alias)
		}
	}
	attrs := b.get(path).at(t, "data.attributes").(map[string]any)
	if attrs["alias"] != nil || attrs["cnam_lookups_enabled"] != true || attrs["messaging_enabled"] != false {
		t.Errorf("got %v", attrs)
	}
	wantStatus(t, b.do("POST", "/v2/message-provision", `{"numbers":["`+ours+`"],"action":"enable"}`), 201)
	b.send("enabled again")
}

func TestReleaseNumber(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	wantStatus(t, b.do("POST", "/v2/numbers/"+forSale, ""), 201)
	wantStatus(t, b.do("DELETE", "/v2/numbers/"+forSale, ""), 204)
	wantStatus(t, b.do("DELETE", "/v2/numbers/"+forSale, ""), 404)
	wantStatus(t, b.get("/v2/numbers/"+forSale), 404)
	if got := b.ids("/v2/numbers/available?starts_with=" + forSale); len(got) != 1 {
		t.Errorf("got %v for sale, want it back", got)
	}
}

func TestOldNumberTypes(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Choices: flowroutetest.Choices{OldNumberTypes: true}})
	if got := b.get("/v2/numbers/"+ours).at(t, "data.attributes.number_type"); got != "standard" {
		t.Errorf("got %v, want standard", got)
	}
	if got := b.get("/v2/numbers/18335550100").at(t, "data.attributes.number_type"); got != "tollfree" {
		t.Errorf("got %v, want tollfree", got)
	}
}
