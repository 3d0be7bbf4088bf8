package jobs

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Purchase asks for one number to be bought, by its Number or by a Search, not
// both. One job buys at most one number.
//
// With a Key, all other fields are its content.
type Purchase struct {
	Number string        `json:"number,omitempty"`
	Search *NumberSearch `json:"search,omitempty"`
	// MaxSetupCost and MaxMonthlyCost are the most that the number may cost, in
	// US dollars. Default to no bound.
	MaxSetupCost   Decimal `json:"max_setup_cost,omitempty"`
	MaxMonthlyCost Decimal `json:"max_monthly_cost,omitempty"`
	// Alias is given to the number after the purchase; at most 64 characters.
	Alias            string `json:"alias,omitempty"`
	MessagingEnabled *bool  `json:"messaging_enabled,omitempty"` // Defaults to Flowroute's default.
	// PrimaryRoute and FailoverRoute are assigned after the purchase.
	PrimaryRoute  *RouteSpec `json:"primary_route,omitempty"`
	FailoverRoute *RouteSpec `json:"failover_route,omitempty"`
	Key           string     `json:"key,omitempty"`
}

// NumberSearch says what number may be bought; at least one field is needed, and
// all that are given must fit.
type NumberSearch struct {
	StartsWith string `json:"starts_with,omitempty"` // digits, with or without the leading 1
	Contains   string `json:"contains,omitempty"`    // digits
	EndsWith   string `json:"ends_with,omitempty"`   // digits
	RateCenter string `json:"rate_center,omitempty"` // needs State
	State      string `json:"state,omitempty"`       // two letters
	NumberType string `json:"number_type,omitempty"` // like longcode or toll-free
}

// PurchaseSpec is a purchase as a worker gets it.
type PurchaseSpec struct {
	Number                       flowroute.E164          // zero: Search says what to buy
	Search                       *flowroute.NumberSearch // nil: Number is what to buy
	MaxSetupCost, MaxMonthlyCost *flowroute.Money        // nil: no bound
	Alias                        string
	MessagingEnabled             *bool
	PrimaryRoute, FailoverRoute  *RouteSpec
	Key                          string
}

// Fits reports whether the purchase may have bought this number, by its digits alone.
func (s PurchaseSpec) Fits(n flowroute.E164) bool {
	if s.Search == nil {
		return s.Number == n
	}
	digits := n.Digits()
	return strings.HasPrefix(digits, s.Search.StartsWith) && strings.HasSuffix(digits, s.Search.EndsWith) && strings.Contains(digits, s.Search.Contains)
}

// Validate reports all that is wrong with the purchase, as a [*ValidationError].
// [Client.Purchase] does it too.
func (p Purchase) Validate() error {
	var d door
	p.plan(&d)
	return d.err()
}

// DecodePurchase reads and checks a purchase in JSON, as [DecodeMessage] does.
func DecodePurchase(b []byte) (Purchase, error) {
	var p Purchase
	d := door{now: time.Now()}
	if _, readable := d.decode(b, p.fields(&d)); readable {
		p.plan(&d)
	}
	return p, d.err()
}

// PurchaseOf reads what a job of type [TypePurchaseNumber] asks for. Errors: as
// [MessageOf].
func PurchaseOf(job ledger.Job) (PurchaseSpec, error) {
	var p Purchase
	if err := unpack(job, ledger.PurchaseNumber, &p); err != nil {
		return PurchaseSpec{}, err
	}
	spec := PurchaseSpec{
		Alias: p.Alias, MessagingEnabled: p.MessagingEnabled,
		PrimaryRoute: p.PrimaryRoute, FailoverRoute: p.FailoverRoute, Key: p.Key,
	}
	var d door
	spec.MaxSetupCost, spec.MaxMonthlyCost = d.cost("max_setup_cost", p.MaxSetupCost), d.cost("max_monthly_cost", p.MaxMonthlyCost)
	if s := p.Search; s != nil {
		spec.Search = &flowroute.NumberSearch{
			StartsWith: s.StartsWith, Contains: s.Contains, EndsWith: s.EndsWith,
			RateCenter: s.RateCenter, State: s.State, NumberType: s.NumberType,
		}
	} else {
		spec.Number = job.To
	}
	return spec, d.err()
}

// NumberOf is the number that a purchase or a route update is about: the one that
// was bought, or claimed, or asked for. Zero: none is fixed yet.
func NumberOf(job Job) flowroute.E164 {
	var reached struct {
		Number string `json:"number"` // bought, without its plus
	}
	if json.Unmarshal(job.Progress, &reached) == nil && reached.Number != "" {
		if number, err := flowroute.ParseE164("+" + reached.Number); err == nil {
			return number
		}
	}
	if !job.Number.IsZero() {
		return job.Number
	}
	return job.To
}

func (p *Purchase) fields(d *door) map[string]any {
	return map[string]any{
		"number": &p.Number, "max_setup_cost": &p.MaxSetupCost, "max_monthly_cost": &p.MaxMonthlyCost,
		"alias": &p.Alias, "messaging_enabled": &p.MessagingEnabled, "key": &p.Key,
		"primary_route": d.routeField(&p.PrimaryRoute), "failover_route": d.routeField(&p.FailoverRoute),
		"search": func(path string, raw json.RawMessage) {
			s := &NumberSearch{}
			p.Search = s
			d.object(path, raw, map[string]any{
				"starts_with": &s.StartsWith, "contains": &s.Contains, "ends_with": &s.EndsWith,
				"rate_center": &s.RateCenter, "state": &s.State, "number_type": &s.NumberType,
			})
		},
	}
}

func (p Purchase) plan(d *door) ledger.NewJob {
	job := ledger.NewJob{Type: ledger.PurchaseNumber, Queue: ledger.QueueNumbers}
	switch {
	case p.Number != "" && p.Search != nil:
		d.refuse("search", CodeContradiction, "and number are both given: give one of them")
	case p.Search != nil:
		p.Search.check(d)
	case p.Number == "":
		d.refuse("number", CodeRequired, "give a number like +12065550100, or a search")
	default:
		job.To = d.number("number", p.Number)
		p.Number = job.To.String()
	}
	setup, monthly := d.cost("max_setup_cost", p.MaxSetupCost), d.cost("max_monthly_cost", p.MaxMonthlyCost)
	d.name("alias", p.Alias, maxAlias)
	p.PrimaryRoute = p.PrimaryRoute.check(d, "primary_route")
	p.FailoverRoute = p.FailoverRoute.check(d, "failover_route")
	d.name("key", p.Key, maxKey)

	c := newContent(ledger.PurchaseNumber)
	c.add("number", p.Number)
	if s := p.Search; s != nil {
		c.add("starts_with", s.StartsWith)
		c.add("contains", s.Contains)
		c.add("ends_with", s.EndsWith)
		c.add("rate_center", strings.ToLower(s.RateCenter))
		c.add("state", strings.ToLower(s.State))
		c.add("number_type", s.NumberType)
	}
	c.addMoney("max_setup_cost", setup)
	c.addMoney("max_monthly_cost", monthly)
	c.add("alias", p.Alias)
	if p.MessagingEnabled != nil {
		c.add("messaging_enabled", strconv.FormatBool(*p.MessagingEnabled))
	}
	c.addRoute("primary_route", p.PrimaryRoute)
	c.addRoute("failover_route", p.FailoverRoute)
	job.Content = c.sum()
	job.Payload = pack(p)
	return job
}

func (s *NumberSearch) check(d *door) {
	if *s == (NumberSearch{}) {
		d.refuse("search", CodeRequired, "is empty and would buy any number: give starts_with, contains, ends_with, state, rate_center or number_type")
	}
	if digits := strings.TrimPrefix(s.StartsWith, "+"); s.StartsWith != "" && !isDigits(digits, 1, 11) {
		d.refuse("search.starts_with", CodeInvalid, "give up to 11 digits, like 206 or 1206555")
	}
	if s.Contains != "" && !isDigits(s.Contains, 1, 11) {
		d.refuse("search.contains", CodeInvalid, "give up to 11 digits")
	}
	if s.EndsWith != "" && !isDigits(s.EndsWith, 1, 11) {
		d.refuse("search.ends_with", CodeInvalid, "give up to 11 digits")
	}
	if s.State != "" && (len(s.State) != 2 || !isWord(s.State, "")) {
		d.refuse("search.state", CodeInvalid, "give two letters, like WA")
	}
	if s.RateCenter != "" && s.State == "" {
		d.refuse("search.state", CodeRequired, "is needed with rate_center: give two letters, like WA")
	}
	d.name("search.rate_center", s.RateCenter, maxAlias)
	if s.NumberType != "" && !isWord(s.NumberType, "-_") {
		d.refuse("search.number_type", CodeInvalid, "give a type like longcode or toll-free")
	}
}

func (c *content) addMoney(name string, amount *flowroute.Money) {
	if amount != nil {
		c.add(name, strconv.FormatInt(int64(*amount), 10))
	}
}
