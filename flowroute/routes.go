package flowroute

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
)

// RouteType is where a route leads.
type RouteType string

const (
	RouteHost   RouteType = "host"    // value: IP address or host name, with optional :port
	RouteNumber RouteType = "number"  // value: 11 digits
	RouteURI    RouteType = "uri"     // value: "sip:alice@atlanta.com"
	RouteSIPReg RouteType = "sip-reg" // built in, id "0", without value; cannot be created
)

// Route is an inbound voice route.
type Route struct {
	ID    string
	Type  RouteType
	Value string // "" for RouteSIPReg
	Alias string
}

// RouteQuery selects routes.
type RouteQuery struct {
	Type   RouteType // "" for all
	Limit  int       // of a page; defaults to 200, the most allowed
	Offset int
}

// Routes lists the account's routes.
//
// See https://developer.flowroute.com/api/routes/v2.0/list-inbound-routes.
func (c *Client) Routes(ctx context.Context, q RouteQuery) iter.Seq2[Route, error] {
	query := url.Values{}
	setText(query, "route_type", string(q.Type))
	return list(ctx, c, listing[routeAttributes, Route]{
		op:     "list routes",
		path:   "/v2/routes",
		query:  query,
		limit:  cmp.Or(q.Limit, defaultLimit),
		offset: q.Offset,
		item:   func(r resource[routeAttributes]) (Route, error) { return readRoute(r), nil },
	})
}

// NewRoute is a route to be created. All fields are required; Flowroute wants the
// alias unique.
type NewRoute struct {
	Type  RouteType
	Value string
	Alias string
}

func (r NewRoute) check() error {
	switch {
	case r.Type != RouteHost && r.Type != RouteNumber && r.Type != RouteURI:
		return fmt.Errorf("route type %q cannot be created", r.Type)
	case r.Value == "":
		return errors.New("route has no value")
	case r.Alias == "":
		return errors.New("route has no alias")
	default:
		return nil
	}
}

// CreateRoute creates a route. One that exists already is refused with 403.
//
// The error is a [*WriteError]. When the status was 2xx but the body could not be
// read, the route is returned as asked for, without ID: it exists.
//
// See https://developer.flowroute.com/api/routes/v2.0/create-an-inbound-route.
func (c *Client) CreateRoute(ctx context.Context, r NewRoute, w Write) (Route, error) {
	var body struct {
		Data struct {
			Type       string `json:"type"`
			Attributes struct {
				Type  RouteType `json:"route_type"`
				Value string    `json:"value"`
				Alias string    `json:"alias"`
			} `json:"attributes"`
		} `json:"data"`
	}
	body.Data.Type = "route"
	body.Data.Attributes.Type = r.Type
	body.Data.Attributes.Value = r.Value
	body.Data.Attributes.Alias = r.Alias
	answer, err := c.write(ctx, w, call{
		op:       "create route",
		endpoint: EndpointNumbers,
		method:   http.MethodPost,
		path:     "/v2/routes",
		body:     body,
		invalid:  r.check(),
	})
	if err != nil {
		return Route{}, err
	}
	var doc document[routeAttributes]
	if json.Unmarshal(answer.body, &doc) != nil || doc.Data.ID == "" {
		return Route{Type: r.Type, Value: r.Value, Alias: r.Alias}, nil
	}
	return readRoute(doc.Data), nil
}

// SetPrimaryRoute makes a route the one that calls to n take. Repeating it is
// harmless, unless another route was set meanwhile.
//
// The error is a [*WriteError].
//
// See https://developer.flowroute.com/api/routes/v2.0/update-primary-voice-route-for-a-phone-number.
func (c *Client) SetPrimaryRoute(ctx context.Context, n E164, routeID string, w Write) error {
	return c.setRoute(ctx, "set primary route", "/relationships/primary_route", n, routeID, w)
}

// SetFailoverRoute is [Client.SetPrimaryRoute] for the route that calls take when
// the primary one fails.
//
// See https://developer.flowroute.com/api/routes/v2.0/update-failover-voice-route-for-a-phone-number.
func (c *Client) SetFailoverRoute(ctx context.Context, n E164, routeID string, w Write) error {
	return c.setRoute(ctx, "set failover route", "/relationships/failover_route", n, routeID, w)
}

func (c *Client) setRoute(ctx context.Context, op, below string, n E164, routeID string, w Write) error {
	q := numberCall(op, http.MethodPatch, n, below)
	if routeID == "" {
		q.invalid = errors.Join(q.invalid, errors.New("no route id given"))
	}
	var body struct {
		Data struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"data"`
	}
	body.Data.Type = "route"
	body.Data.ID = routeID
	q.body = body
	_, err := c.write(ctx, w, q)
	return err
}

type routeAttributes struct {
	RouteType text `json:"route_type"`
	Value     text `json:"value"`
	Alias     text `json:"alias"`
}

func readRoute(r resource[routeAttributes]) Route {
	return Route{
		ID:    string(r.ID),
		Type:  RouteType(r.Attributes.RouteType),
		Value: string(r.Attributes.Value),
		Alias: string(r.Attributes.Alias),
	}
}
