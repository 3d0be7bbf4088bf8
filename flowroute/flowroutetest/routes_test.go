package flowroutetest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

func route(kind, value, alias string) string {
	return fmt.Sprintf(`{"data":{"type":"route","attributes":{"route_type":%q,"value":%q,"alias":%q}}}`, kind, value, alias)
}

func TestCreateRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"host", route("host", "www.example.com", "new"), 201},
		{"host with port and parameters", route("host", "192.0.2.40:5060;transport=tcp;weight=10", "new"), 201},
		{"host that looks like a number", route("host", "12065550100", "new"), 201},
		{"number", route("number", "12065550100", "new"), 201},
		{"uri", route("uri", "sip:alice@atlanta.example.com", "new"), 201},
		{"uri with everything", route("uri", "sips:12065550100@192.0.2.152:5060;transport=tls", "new"), 201},
		{"edge strategy of the SDK's demo", `{"data":{"type":"route","attributes":{"route_type":"host","value":"a.example.com","alias":"new","edge_strategy":"1"}}}`, 201},
		{"same alias", route("host", "other.example.com", "have"), 403},
		{"same type and value", route("host", "have.example.com", "new"), 403},
		{"no alias", `{"data":{"type":"route","attributes":{"route_type":"host","value":"a.example.com"}}}`, 422},
		{"no value", route("host", "", "new"), 422},
		{"unknown type", route("HOST", "a.example.com", "new"), 422},
		{"built-in type", route("sip-reg", "x", "new"), 422},
		{"number with a plus", route("number", "+12065550100", "new"), 422},
		{"uri without a user", route("uri", "sip:atlanta.example.com", "new"), 422},
		{"host with a space", route("host", "a b", "new"), 422},
		{"port out of range", route("host", "a.example.com:70000", "new"), 422},
		{"unknown transport", route("host", "a.example.com;transport=sctp", "new"), 422},
		{"encoded twice", fmt.Sprintf("%q", route("host", "a.example.com", "new")), 422},
		{"cut", `{"data":`, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{Routes: []flowroutetest.Route{{Type: "host", Value: "have.example.com", Alias: "have"}}})
			a := b.do("POST", "/v2/routes", c.body)
			wantStatus(t, a, c.status)
			routes := b.Truth().Routes
			if c.status != 201 {
				if len(routes) != 2 {
					t.Errorf("got %d routes, want the two there were", len(routes))
				}
				return
			}
			id := a.at(t, "data.id").(string)
			if len(routes) != 3 || routes[2].ID != id || routes[2].Alias != "new" {
				t.Errorf("got routes %v, want %s as third", routes, id)
			}
			// The links of this answer lack the version, those of others do not.
			if got, want := a.at(t, "links.self"), b.URL+"/routes/"+id; got != want {
				t.Errorf("got self %v, want %v", got, want)
			}
			if got, want := b.get("/v2/routes/"+id).at(t, "data.links.self"), b.URL+"/v2/routes/"+id; got != want {
				t.Errorf("got self %v, want %v", got, want)
			}
		})
	}
}

func TestListRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Routes: []flowroutetest.Route{
		{ID: "7", Type: "number", Value: "12065550100", Alias: "desk"}, {ID: "8", Type: "host", Value: "a.example.com", Alias: "a"}}})
	for path, want := range map[string][]string{
		"/v2/routes":                    {"0", "7", "8"},
		"/v2/routes?limit=2":            {"0", "7"},
		"/v2/routes?limit=2&offset=2":   {"8"},
		"/v2/routes?route_type=number":  {"7"},
		"/v2/routes?route_type=sip-reg": {"0"},
		"/v2/routes?route_type=uri":     {},
	} {
		if diff := cmp.Diff(want, b.ids(path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	first := b.get("/v2/routes?limit=2")
	if first.at(t, "data.0.attributes.value") != nil || first.at(t, "links.next") != b.URL+"/v2/routes?limit=2&offset=2" {
		t.Errorf("got %s, want a built-in route without value, and a next page", first.body)
	}
	wantStatus(t, b.get("/v2/routes?route_type=HOST"), 422)
}

func TestNumberRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Routes: []flowroutetest.Route{{ID: "7", Type: "host", Value: "a.example.com", Alias: "a"}}})
	const primary, failover = "/v2/numbers/" + ours + "/relationships/primary_route", "/v2/numbers/" + ours + "/relationships/failover_route"
	const seven = `{"data":{"type":"route","id":"7"}}`
	for _, c := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"primary", "PATCH", primary, seven, 204},
		{"primary again", "PATCH", primary, seven, 204},
		{"failover", "PATCH", failover, seven, 204},
		{"failover cleared", "DELETE", failover, "", 204},
		{"failover by null", "PATCH", failover, `{"data":null}`, 204},
		{"unknown route", "PATCH", primary, `{"data":{"type":"route","id":"9"}}`, 404},
		{"number not ours", "PATCH", "/v2/numbers/12125550199/relationships/primary_route", seven, 404},
		{"flat", "PATCH", primary, `{"type":"route","id":"7"}`, 422},
		{"id as a number", "PATCH", primary, `{"data":{"type":"route","id":7}}`, 422},
		{"other type", "PATCH", primary, `{"data":{"type":"number","id":"7"}}`, 422},
		{"no body", "PATCH", primary, "", 422},
		{"cut", "PATCH", primary, `{"data"`, 400},
		{"route in use", "DELETE", "/v2/routes/7", "", 403},
		{"built-in route", "DELETE", "/v2/routes/0", "", 403},
	} {
		a := b.do(c.method, c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s: got status %d, want %d: %s", c.name, a.status, c.status, a.body)
		}
		if c.status == 204 && (a.body != "" || a.header.Get("Content-Type") != "") {
			t.Errorf("%s: got body %q of type %q, want none", c.name, a.body, a.header.Get("Content-Type"))
		}
	}
	want := flowroutetest.NumberTruth{PrimaryRoute: "7", MessagingEnabled: true, RouteSets: []flowroutetest.RouteSet{
		{Slot: "primary_route", Route: "7"}, {Slot: "primary_route", Route: "7"},
		{Slot: "failover_route", Route: "7"}, {Slot: "failover_route"}, {Slot: "failover_route"},
	}}
	if diff := cmp.Diff(want, b.Truth().Numbers[ours], cmpopts.IgnoreFields(flowroutetest.RouteSet{}, "At")); diff != "" {
		t.Errorf("truth (-want +got):\n%s", diff)
	}
	one := b.get("/v2/numbers/" + ours)
	if one.at(t, "data.relationships.primary_route.data.id") != "7" || one.at(t, "data.relationships.failover_route.data") != nil {
		t.Errorf("got %s", one.body)
	}
	if included := one.at(t, "included").([]any); len(included) != 1 {
		t.Errorf("got %v, want the route once", included)
	}
	wantStatus(t, b.do("DELETE", primary, ""), 204)
	if _, ok := b.get("/v2/numbers/" + ours).json(t)["included"]; ok {
		t.Error("a number without routes has an included key, want none")
	}
	wantStatus(t, b.do("DELETE", "/v2/routes/7", ""), 204)
	wantStatus(t, b.get("/v2/routes/7"), 404)
}

func TestPatchRoute(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Routes: []flowroutetest.Route{
		{ID: "7", Type: "host", Value: "a.example.com", Alias: "a"}, {ID: "8", Type: "host", Value: "b.example.com", Alias: "b"}}})
	for _, c := range []struct {
		name, id, body string
		status         int
	}{
		{"alias alone", "7", `{"data":{"type":"route","attributes":{"alias":"c"}}}`, 200},
		{"taken alias", "7", `{"data":{"type":"route","attributes":{"alias":"b"}}}`, 403},
		{"bad value", "7", `{"data":{"type":"route","attributes":{"value":"!"}}}`, 422},
		{"unknown", "9", `{}`, 404},
		{"built-in", "0", `{}`, 403},
	} {
		if a := b.do("PATCH", "/v2/routes/"+c.id, c.body); a.status != c.status {
			t.Errorf("%s: got status %d, want %d: %s", c.name, a.status, c.status, a.body)
		}
	}
	if got := b.Truth().Routes[1]; got != (flowroutetest.Route{ID: "7", Type: "host", Value: "a.example.com", Alias: "c"}) {
		t.Errorf("got %+v", got)
	}
}
