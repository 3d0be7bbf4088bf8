package flowroutetest

import (
	"encoding/json"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// builtInRoute is the id of the route that every account has.
const builtInRoute = "0"

// routeTable has the account's routes in order of creation.
type routeTable struct {
	list []Route
	next int
}

func newRouteTable(more []Route) *routeTable {
	t := &routeTable{list: []Route{{ID: builtInRoute, Type: "sip-reg", Alias: "sip-reg"}}, next: 98396}
	for _, r := range more {
		if r.ID == "" {
			r.ID = t.id()
		}
		t.list = append(t.list, r)
	}
	return t
}

func (t *routeTable) id() string {
	for {
		id := strconv.Itoa(t.next)
		t.next++
		if t.find(id) == nil {
			return id
		}
	}
}

func (t *routeTable) find(id string) *Route {
	i := slices.IndexFunc(t.list, func(r Route) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &t.list[i]
}

// object is the resource object; POST leaves /v2 out of its links.
func (r *Route) object(linkBase string) any {
	attrs := map[string]any{"alias": r.Alias, "route_type": r.Type, "value": r.Value, "edge_strategy_id": nil}
	if r.Value == "" {
		attrs["value"] = nil
	}
	return map[string]any{"attributes": attrs, "id": r.ID, "links": map[string]string{"self": linkBase + "/routes/" + r.ID}, "type": "route"}
}

func (r *Route) document(linkBase string) []byte {
	return encode(map[string]any{"data": r.object(linkBase), "links": map[string]string{"self": linkBase + "/routes/" + r.ID}})
}

// readRoute reads the attributes of a route; before is what PATCH leaves as it is.
func (c *call) readRoute(before Route) (Route, *reply) {
	attrs, bad := c.attributes()
	if bad != nil {
		return before, bad
	}
	problems := fieldErrors{}
	r := before
	for _, f := range []struct {
		name string
		to   *string
	}{{"route_type", &r.Type}, {"value", &r.Value}, {"alias", &r.Alias}} {
		if v, ok := attrs[f.name]; ok {
			*f.to = textOf(v, f.name, problems)
		}
		if *f.to == "" && len(problems[f.name]) == 0 {
			problems.add(f.name, missingField)
		}
	}
	if len(problems) == 0 {
		switch {
		case !slices.Contains([]string{"host", "number", "uri"}, r.Type):
			problems.add("route_type", "Not a valid choice.")
		case !validRouteValue(r.Type, r.Value):
			problems.add("value", "Not a valid "+r.Type+".")
		}
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return r, &rep
	}
	return r, nil
}

// validRouteValue checks the documented format of a value.
func validRouteValue(kind, value string) bool {
	base, params, _ := strings.Cut(value, ";")
	if params != "" {
		for p := range strings.SplitSeq(params, ";") {
			k, v, _ := strings.Cut(p, "=")
			switch {
			case k == "transport" && slices.Contains([]string{"tcp", "udp", "tls"}, v):
			case k == "weight" && kind == "host" && v != "":
			default:
				return false
			}
		}
	}
	switch kind {
	case "number":
		return digits(value) != 0 && !strings.HasPrefix(value, "+")
	case "uri":
		scheme, rest, ok := strings.Cut(base, ":")
		user, host, at := strings.Cut(rest, "@")
		return ok && at && (scheme == "sip" || scheme == "sips") && user != "" && validHost(host)
	}
	return validHost(base)
}

func validHost(s string) bool {
	if host, port, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return false
		}
		s = host
	}
	return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`).MatchString(s)
}

// duplicate reports whether the account has a route like r: the same alias,
// or the same type and value.
func (t *routeTable) duplicate(r Route) bool {
	return slices.ContainsFunc(t.list, func(o Route) bool {
		return o.ID != r.ID && (o.Alias == r.Alias || o.Type == r.Type && o.Value == r.Value)
	})
}

func (s *Simulator) duplicateRoute() reply {
	return s.apiError(http.StatusForbidden, "Forbidden", "This route already exists on your account.")
}

// createRoute is POST routes.
func (s *Simulator) createRoute(c *call) reply {
	r, bad := c.readRoute(Route{})
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.acct.routes
	if t.duplicate(r) {
		return s.duplicateRoute()
	}
	r.ID = t.id()
	t.list = append(t.list, r)
	s.counts.changed()
	return reply{status: http.StatusCreated, body: r.document(c.linkBase())}
}

// listRoutes is GET routes.
func (s *Simulator) listRoutes(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	kind := v.Get("route_type")
	p.filter("route_type", kind)
	if kind != "" && !slices.Contains([]string{"host", "sip-reg", "uri", "number"}, kind) {
		p.problems.add("route_type", "Not a valid choice.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Route
	for _, r := range s.acct.routes.list {
		if kind == "" || r.Type == kind {
			rows = append(rows, r)
		}
	}
	return listReply(c, p, rows, func(r Route) any { return r.object(c.linkBase() + "/v2") })
}

// getRoute is GET routes/{id}.
func (s *Simulator) getRoute(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.acct.routes.find(c.r.PathValue("id"))
	if r == nil {
		return s.noSuchResource("No such route")
	}
	return reply{status: http.StatusOK, body: r.document(c.linkBase() + "/v2")}
}

// patchRoute is PATCH routes/{id}.
func (s *Simulator) patchRoute(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.acct.routes.find(c.r.PathValue("id"))
	if before == nil {
		return s.noSuchResource("No such route")
	}
	if before.ID == builtInRoute {
		return notAuthorized()
	}
	r, bad := c.readRoute(*before)
	if bad != nil {
		return *bad
	}
	if s.acct.routes.duplicate(r) {
		return s.duplicateRoute()
	}
	*before = r
	s.counts.changed()
	return reply{status: http.StatusOK, body: r.document(c.linkBase() + "/v2")}
}

// deleteRoute is DELETE routes/{id}.
func (s *Simulator) deleteRoute(c *call) reply {
	id := c.r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.acct.routes
	if t.find(id) == nil {
		return s.noSuchResource("No such route")
	}
	if id == builtInRoute {
		return notAuthorized()
	}
	for _, n := range s.acct.book.owned {
		if n.routes[slotPrimary] == id || n.routes[slotFailover] == id {
			return s.apiError(http.StatusForbidden, "This Route has numbers still associated to it.", "Please disassociate all numbers before deleting.")
		}
	}
	t.list = slices.DeleteFunc(t.list, func(r Route) bool { return r.ID == id })
	s.counts.changed()
	return reply{status: http.StatusNoContent}
}

// setRoute is PATCH numbers/{id}/relationships/{slot}. Its body is JSON:API;
// data null clears the slot.
func (s *Simulator) setRoute(c *call) reply {
	if len(c.body) == 0 {
		return invalidField("data", missingField)
	}
	if bad := c.checkJSON(); bad != nil {
		return *bad
	}
	var doc struct {
		Data json.RawMessage `json:"data"`
	}
	_ = json.Unmarshal(c.body, &doc) // an object for certain
	if len(doc.Data) == 0 {
		return invalidField("data", missingField)
	}
	id := ""
	if given(doc.Data) {
		var ref struct{ Type, ID json.RawMessage }
		if json.Unmarshal(doc.Data, &ref) != nil {
			return invalidField("data", "Invalid input type.")
		}
		problems := fieldErrors{}
		id = textOf(ref.ID, "id", problems)
		switch {
		case len(problems) > 0:
		case textOf(ref.Type, "type", problems) != "route":
			problems.add("type", "Must be equal to route.")
		case id == "":
			problems.add("id", missingField)
		}
		if len(problems) > 0 {
			return problems.reply()
		}
	}
	return s.assignRoute(c, id)
}

// clearRoute is DELETE of the same path.
func (s *Simulator) clearRoute(c *call) reply { return s.assignRoute(c, "") }

func (s *Simulator) assignRoute(c *call, id string) reply {
	now, slot := s.now(), c.r.PathValue("relation")
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.acct.book.find(c.r.PathValue("id"), now)
	switch {
	case n == nil:
		return s.apiError(http.StatusNotFound, "", noNumber)
	case id != "" && s.acct.routes.find(id) == nil:
		return s.noSuchResource("No such route")
	}
	n.routes[slot] = id
	n.sets = append(n.sets, RouteSet{Slot: slot, Route: id, At: now})
	s.counts.changed()
	return reply{status: http.StatusNoContent}
}
