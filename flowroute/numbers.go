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
	"strconv"
)

// AreaCode is an area code with numbers for sale.
type AreaCode struct {
	ID string // "206"
}

// AreaCodeQuery selects area codes.
type AreaCodeQuery struct {
	MaxSetupCost *float64 // dollars; the server drops the fraction
	Limit        int      // of a page; defaults to 400, the most allowed
	Offset       int
}

// AreaCodes lists the area codes that have numbers for sale.
//
// See https://developer.flowroute.com/api/numbers/v2.0/list-available-area-codes.
func (c *Client) AreaCodes(ctx context.Context, q AreaCodeQuery) iter.Seq2[AreaCode, error] {
	query := url.Values{}
	setFloat(query, "max_setup_cost", q.MaxSetupCost)
	return list(ctx, c, listing[struct{}, AreaCode]{
		op:     "list area codes",
		path:   "/v2/numbers/available/areacodes",
		query:  query,
		limit:  cmp.Or(q.Limit, defaultAreaLimit),
		offset: q.Offset,
		item:   func(r resource[struct{}]) (AreaCode, error) { return AreaCode{ID: string(r.ID)}, nil },
	})
}

// Exchange is an area code and exchange (NPA-NXX) with numbers for sale.
type Exchange struct {
	ID string // "206555"
}

// ExchangeQuery selects exchanges.
type ExchangeQuery struct {
	AreaCode     string   // "206"
	MaxSetupCost *float64 // dollars; the server drops the fraction
	Limit        int      // of a page; defaults to 200, the most allowed
	Offset       int
}

// Exchanges lists the exchanges that have numbers for sale.
//
// See https://developer.flowroute.com/api/numbers/v2.0/list-available-exchanges.
func (c *Client) Exchanges(ctx context.Context, q ExchangeQuery) iter.Seq2[Exchange, error] {
	query := url.Values{}
	setText(query, "areacode", q.AreaCode)
	setFloat(query, "max_setup_cost", q.MaxSetupCost)
	return list(ctx, c, listing[struct{}, Exchange]{
		op:     "list exchanges",
		path:   "/v2/numbers/available/exchanges",
		query:  query,
		limit:  cmp.Or(q.Limit, defaultLimit),
		offset: q.Offset,
		item:   func(r resource[struct{}]) (Exchange, error) { return Exchange{ID: string(r.ID)}, nil },
	})
}

// AvailableNumber is a number for sale. Listing reserves nothing.
type AvailableNumber struct {
	Number     E164
	Type       string // an open set: "longcode", "toll-free", formerly "standard", "tollfree", "inum"
	RateCenter string
	State      string // "wa"

	// What it costs; a listing that does not say is an error, so that no price
	// limit passes by mistake.
	SetupCost   Money
	MonthlyCost Money
}

// NumberSearch selects numbers for sale.
type NumberSearch struct {
	StartsWith string // digits; the server puts a 1 before them unless they begin with 1 or +
	Contains   string
	EndsWith   string
	RateCenter string // abbreviation, in either case; goes with State
	State      string // two letters, in either case
	NumberType string // "longcode" or "toll-free"
	ISOCountry string
	OrderBy    string // "tn,asc"; also monthly_cost, state, rate_center, number_type, iso_country
	Limit      int    // of a page; defaults to 200, the most allowed
	Offset     int
}

// AvailableNumbers searches numbers for sale.
//
// See https://developer.flowroute.com/api/numbers/v2.0/search-for-purchasable-phone-numbers.
func (c *Client) AvailableNumbers(ctx context.Context, q NumberSearch) iter.Seq2[AvailableNumber, error] {
	query := url.Values{}
	setText(query, "starts_with", q.StartsWith)
	setText(query, "contains", q.Contains)
	setText(query, "ends_with", q.EndsWith)
	setText(query, "rate_center", q.RateCenter)
	setText(query, "state", q.State)
	setText(query, "number_type", q.NumberType)
	setText(query, "iso_country", q.ISOCountry)
	setText(query, "order_by", q.OrderBy)
	return list(ctx, c, listing[numberAttributes, AvailableNumber]{
		op:     "search numbers",
		path:   "/v2/numbers/available",
		query:  query,
		limit:  cmp.Or(q.Limit, defaultLimit),
		offset: q.Offset,
		item:   readAvailable,
	})
}

func readAvailable(r resource[numberAttributes]) (AvailableNumber, error) {
	n, err := e164FromAPI(cmp.Or(r.Attributes.Value, r.ID))
	if err != nil {
		return AvailableNumber{}, err
	}
	a := r.Attributes
	if a.SetupCost == nil || a.MonthlyCost == nil {
		return AvailableNumber{}, fmt.Errorf("number %s has no price", n.Masked())
	}
	return AvailableNumber{
		Number:      n,
		Type:        string(a.NumberType),
		RateCenter:  string(a.RateCenter),
		State:       string(a.State),
		SetupCost:   Money(*a.SetupCost),
		MonthlyCost: Money(*a.MonthlyCost),
	}, nil
}

// Number is a number of the account (DID) as it is listed. Fields that the
// response lacks are zero.
type Number struct {
	Number     E164
	Alias      string
	Type       string // as of [AvailableNumber]
	RateCenter string
	State      string

	CNAMLookups      bool  // callers' names are looked up
	MessagingEnabled *bool // nil when the response does not say; false until provisioning has finished
	Status           string
	Note             string
	SetupCost        *Money
	MonthlyCost      *Money
}

// NumberQuery selects numbers of the account.
type NumberQuery struct {
	StartsWith string // digits
	EndsWith   string
	Contains   string
	Alias      string // exact
	Limit      int    // of a page; defaults to 200, the most allowed
	Offset     int
}

// Numbers lists the account's numbers.
//
// See https://developer.flowroute.com/api/numbers/v2.0/list-account-phone-numbers.
func (c *Client) Numbers(ctx context.Context, q NumberQuery) iter.Seq2[Number, error] {
	query := url.Values{}
	setText(query, "starts_with", q.StartsWith)
	setText(query, "ends_with", q.EndsWith)
	setText(query, "contains", q.Contains)
	setText(query, "alias", q.Alias)
	return list(ctx, c, listing[numberAttributes, Number]{
		op:     "list numbers",
		path:   "/v2/numbers",
		query:  query,
		limit:  cmp.Or(q.Limit, defaultLimit),
		offset: q.Offset,
		item:   readNumber,
	})
}

// RouteRef points to a route.
type RouteRef struct {
	ID string
}

// NumberDetails is a number of the account with what it is tied to.
type NumberDetails struct {
	Number

	PrimaryRoute  *RouteRef // nil when none is set
	FailoverRoute *RouteRef
	E911ID        string // "" when none is set
	CNAMPresetID  string
	Routes        []Route // those that the response describes
}

// Number returns the details of a number of the account; [ErrNotFound] when it is
// not one.
//
// See https://developer.flowroute.com/api/numbers/v2.0/list-phone-number-details.
func (c *Client) Number(ctx context.Context, n E164) (NumberDetails, error) {
	var doc document[numberAttributes]
	q := numberCall("look up number", http.MethodGet, n, "")
	q.limit = maxReply
	if err := c.read(ctx, q, &doc); err != nil {
		return NumberDetails{}, err
	}
	details, err := readDetails(doc)
	if err != nil {
		return NumberDetails{}, fmt.Errorf("%s: %w", q.op, err)
	}
	return details, nil
}

// numberCall is a call about one number; below is the rest of the path.
func numberCall(op, method string, n E164, below string) call {
	q := call{
		op:       op,
		endpoint: EndpointNumbers,
		method:   method,
		path:     "/v2/numbers/" + n.Digits() + below,
		masked:   "/v2/numbers/" + n.Masked() + below,
	}
	if n.IsZero() {
		q.invalid = errors.New("no number given")
	}
	return q
}

type numberAttributes struct {
	Value            text     `json:"value"`
	Alias            text     `json:"alias"`
	NumberType       text     `json:"number_type"`
	RateCenter       text     `json:"rate_center"`
	State            text     `json:"state"`
	CNAMLookups      flag     `json:"cnam_lookups_enabled"`
	MessagingEnabled *flag    `json:"messaging_enabled"`
	Status           text     `json:"status"`
	Note             text     `json:"note"`
	SetupCost        *dollars `json:"setup_cost"`
	MonthlyCost      *dollars `json:"monthly_cost"`
}

func readNumber(r resource[numberAttributes]) (Number, error) {
	n, err := e164FromAPI(cmp.Or(r.Attributes.Value, r.ID))
	if err != nil {
		return Number{}, err
	}
	a := r.Attributes
	return Number{
		Number:           n,
		Alias:            string(a.Alias),
		Type:             string(a.NumberType),
		RateCenter:       string(a.RateCenter),
		State:            string(a.State),
		CNAMLookups:      bool(a.CNAMLookups),
		MessagingEnabled: (*bool)(a.MessagingEnabled),
		Status:           string(a.Status),
		Note:             string(a.Note),
		SetupCost:        (*Money)(a.SetupCost),
		MonthlyCost:      (*Money)(a.MonthlyCost),
	}, nil
}

func readDetails(doc document[numberAttributes]) (NumberDetails, error) {
	n, err := readNumber(doc.Data)
	if err != nil {
		return NumberDetails{}, err
	}
	rel := doc.Data.Relationships
	details := NumberDetails{
		Number:        n,
		PrimaryRoute:  routeRef(rel.PrimaryRoute),
		FailoverRoute: routeRef(rel.FailoverRoute),
		E911ID:        rel.E911Address.id(),
		CNAMPresetID:  rel.CNAMPreset.id(),
	}
	for _, x := range doc.Included {
		if x.Type != "route" {
			continue
		}
		route := resource[routeAttributes]{ID: x.ID}
		if err := json.Unmarshal(x.Attributes, &route.Attributes); err != nil {
			return NumberDetails{}, fmt.Errorf("route %s: %w", x.ID, err)
		}
		details.Routes = append(details.Routes, readRoute(route))
	}
	return details, nil
}

func routeRef(r toOne) *RouteRef {
	if r.Data == nil {
		return nil
	}
	return &RouteRef{ID: r.id()}
}

func setText(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

func setFloat(v url.Values, name string, value *float64) {
	if value != nil {
		v.Set(name, strconv.FormatFloat(*value, 'f', -1, 64))
	}
}
