package flowroutetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Slots of a number's voice routes.
const (
	slotPrimary  = "primary_route"
	slotFailover = "failover_route"
)

// number is one on the account.
type number struct {
	value        string
	source       ForSale // what it goes back to when released
	alias        *string
	cnam         bool
	messagingAt  int64             // enabled from then on; never
	shownAt      int64             // reads find it from then on
	routes       map[string]string // by slot
	sets         []RouteSet
	callbacks    map[string]string
	e911, caller string // ids of what is assigned
}

func (n *number) messaging(now time.Time) bool { return n.messagingAt <= now.UnixNano() }

// receiptURL is where receipts of messages from n go without a URL of the message's own.
func (n *number) receiptURL(mms bool, account map[string]string) string {
	key := "sms_dlr_callback"
	if mms {
		key = "mms_dlr_callback"
	}
	return cmp.Or(n.callbacks[key], account[key])
}

// numberBook has the account's numbers and those for sale.
type numberBook struct {
	owned map[uint64]*number
	sale  []ForSale // by number
}

func newNumberBook(o Options, now time.Time) *numberBook {
	b := &numberBook{owned: map[uint64]*number{}, sale: slices.Clone(o.Inventory)}
	for _, v := range o.Owned {
		text := strings.TrimPrefix(v, "+")
		b.own(ForSale{Number: text, RateCenter: "seattle", State: "wa", TollFree: tollFree(digits(text)), SetupCost: 1, MonthlyCost: 1.25}, now)
	}
	b.sale = slices.DeleteFunc(b.sale, func(f ForSale) bool { return b.owned[digits(f.Number)] != nil })
	slices.SortFunc(b.sale, func(a, b ForSale) int { return cmp.Compare(a.text(), b.text()) })
	return b
}

func (b *numberBook) own(f ForSale, now time.Time) *number {
	n := &number{value: f.text(), source: f, routes: map[string]string{slotPrimary: "0"}, callbacks: map[string]string{},
		messagingAt: now.UnixNano(), shownAt: now.UnixNano()}
	b.owned[digits(n.value)] = n
	return n
}

// find returns an owned number that reads can see.
func (b *numberBook) find(value string, now time.Time) *number {
	n := b.owned[digits(value)]
	if n == nil || n.shownAt > now.UnixNano() || strings.HasPrefix(value, "+") {
		return nil
	}
	return n
}

func (b *numberBook) forSale(value string) (int, bool) {
	return slices.BinarySearchFunc(b.sale, value, func(f ForSale, v string) int { return cmp.Compare(f.text(), v) })
}

// release gives a number back to the inventory.
func (b *numberBook) release(n *number) {
	delete(b.owned, digits(n.value))
	i, _ := b.forSale(n.value)
	b.sale = slices.Insert(b.sale, i, n.source)
}

const noNumber = "Could not find that resource on your account."

// purchaseNumber is POST numbers/{id}.
func (s *Simulator) purchaseNumber(c *call) reply {
	value := c.r.PathValue("id")
	opts, bad := c.purchaseOptions()
	if bad != nil {
		return *bad
	}
	now := s.now()
	_, fails207 := s.faults.hit("purchase-207", OpPurchase)
	lag, lags := s.faults.hit("purchase-lag", OpPurchase)

	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.acct.book
	if n := b.owned[digits(value)]; n != nil && !strings.HasPrefix(value, "+") {
		return s.apiError(s.o.Choices.AlreadyOwnedStatus, http.StatusText(s.o.Choices.AlreadyOwnedStatus), "This number is already on your account.")
	}
	i, ok := b.forSale(value)
	if !ok {
		return s.apiError(s.o.Choices.TakenStatus, http.StatusText(s.o.Choices.TakenStatus), "This number is not available for purchase.")
	}
	f := b.sale[i]
	b.sale = slices.Delete(b.sale, i, i+1)
	n := b.own(f, now)
	n.cnam, n.messagingAt = opts.cnam, never
	status := http.StatusCreated
	switch {
	case fails207:
		status = http.StatusMultiStatus
	case opts.messaging:
		n.messagingAt = now.Add(s.o.MessagingAfter).UnixNano()
	}
	if opts.callback != "" {
		n.callbacks["sms_callback"] = opts.callback
	}
	if lags {
		n.shownAt = now.Add(lag.Delay).UnixNano()
	}
	s.acct.purchases = append(s.acct.purchases, Purchase{Number: n.value, At: now, SetupCost: f.SetupCost})
	index := len(s.acct.purchases) - 1
	s.counts.changed()
	doc := s.numberDocument(c, n)
	if opts.messaging || fails207 {
		doc.Included = append(doc.Included, provisioning(n, now, fails207))
	}
	return reply{status: status, body: encode(doc), spoil: func(fault string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if index < len(s.acct.purchases) {
			s.acct.purchases[index].Fault = fault
		}
	}}
}

func provisioning(n *number, now time.Time, failed bool) any {
	status := "pending"
	if failed {
		status = "failed"
	} else if n.messaging(now) {
		status = "enabled"
	}
	return map[string]any{"type": "message_provisioning_status", "id": n.value, "attributes": map[string]any{"status": status, "tn": n.value}}
}

type purchaseOptions struct {
	messaging, cnam bool
	callback        string
}

// purchaseOptions reads what clients send as query or as body; the query wins.
func (c *call) purchaseOptions() (o purchaseOptions, bad *reply) {
	attrs, bad := c.attributes()
	if bad != nil {
		return o, bad
	}
	problems := fieldErrors{}
	v := c.r.URL.Query()
	get := func(name string) json.RawMessage {
		if q := v.Get(name); q != "" {
			return encode(q)
		}
		return attrs[name]
	}
	o.messaging = boolOf(get("messaging_enabled"), "messaging_enabled", problems)
	o.cnam = boolOf(get("cnam_lookups_enabled"), "cnam_lookups_enabled", problems)
	o.callback = textOf(get("messaging_callback_url"), "messaging_callback_url", problems)
	textOf(get("messaging_email"), "messaging_email", problems)
	if o.callback != "" && !webURL(o.callback) {
		problems.add("messaging_callback_url", "Not a valid URL.")
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return o, &rep
	}
	return o, nil
}

// listNumbers is GET numbers.
func (s *Simulator) listNumbers(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	starts, has, ends := p.digitsFilter(v, "starts_with"), p.digitsFilter(v, "contains"), p.digitsFilter(v, "ends_with")
	alias := v.Get("alias")
	p.filter("alias", alias)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []*number
	for _, key := range slices.Sorted(maps.Keys(s.acct.book.owned)) {
		n := s.acct.book.owned[key]
		if n.shownAt <= now.UnixNano() && strings.HasPrefix(n.value, starts) && strings.Contains(n.value, has) && strings.HasSuffix(n.value, ends) &&
			(alias == "" || n.alias != nil && *n.alias == alias) {
			rows = append(rows, n)
		}
	}
	return listReply(c, p, rows, func(n *number) any {
		attrs := map[string]any{"rate_center": n.source.RateCenter, "value": n.value, "alias": n.alias, "state": n.source.State,
			"number_type": s.numberType(n.source.TollFree), "cnam_lookups_enabled": n.cnam, "messaging_enabled": n.messaging(now)}
		return map[string]any{"attributes": attrs, "type": "number", "id": n.value, "links": map[string]string{"self": c.linkBase() + "/v2/numbers/" + n.value}}
	})
}

// getNumber is GET numbers/{id}.
func (s *Simulator) getNumber(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.acct.book.find(c.r.PathValue("id"), s.now())
	if n == nil {
		return s.apiError(http.StatusNotFound, "", noNumber)
	}
	return reply{status: http.StatusOK, body: encode(s.numberDocument(c, n))}
}

// patchNumber is PATCH numbers/{id}; its documented body is flat and says its type.
func (s *Simulator) patchNumber(c *call) reply {
	attrs, bad := c.attributes()
	if bad != nil {
		return *bad
	}
	problems := fieldErrors{}
	switch kind := textOf(attrs["type"], "type", problems); kind {
	case "":
		problems.add("type", missingField)
	case "number":
	default:
		problems.add("type", "Must be equal to number.")
	}
	alias := textOf(attrs["alias"], "alias", problems)
	if utf8.RuneCountInString(alias) > 64 {
		problems.add("alias", "Longer than maximum length 64.")
	}
	cnam := boolOf(attrs["cnam_lookups_enabled"], "cnam_lookups_enabled", problems)
	messaging := boolOf(attrs["messaging_enabled"], "messaging_enabled", problems)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.acct.book.find(c.r.PathValue("id"), now)
	switch {
	case n == nil:
		return s.apiError(http.StatusNotFound, "", noNumber)
	case len(problems) > 0:
		return problems.reply()
	}
	if v, ok := attrs["alias"]; ok {
		n.alias = nil
		if given(v) {
			n.alias = &alias
		}
	}
	if _, ok := attrs["cnam_lookups_enabled"]; ok {
		n.cnam = cnam
	}
	if _, ok := attrs["messaging_enabled"]; ok {
		s.setMessaging(n, messaging, now)
	}
	s.counts.changed()
	return reply{status: http.StatusOK, body: encode(s.numberDocument(c, n))}
}

func (s *Simulator) setMessaging(n *number, on bool, now time.Time) {
	switch {
	case !on:
		n.messagingAt = never
	case n.messagingAt == never:
		n.messagingAt = now.Add(s.o.MessagingAfter).UnixNano()
	}
}

// deleteNumber is DELETE numbers/{id}.
func (s *Simulator) deleteNumber(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.acct.book.find(c.r.PathValue("id"), s.now())
	if n == nil {
		return s.apiError(http.StatusNotFound, "", noNumber)
	}
	s.acct.book.release(n)
	s.counts.changed()
	return reply{status: http.StatusNoContent}
}

// numberDocument is the answer of everything that returns one number.
type numberDocument struct {
	Data     map[string]any    `json:"data"`
	Included []any             `json:"included,omitempty"`
	Links    map[string]string `json:"links"`
}

func (s *Simulator) numberDocument(c *call, n *number) numberDocument {
	self := map[string]string{"self": c.linkBase() + "/v2/numbers/" + n.value}
	doc := numberDocument{Links: self}
	seen := map[string]bool{}
	relation := func(slot string) any {
		id := n.routes[slot]
		r := s.acct.routes.find(id)
		if id == "" || r == nil {
			return map[string]any{"data": nil}
		}
		if !seen[id] {
			seen[id] = true
			doc.Included = append(doc.Included, r.object(c.linkBase()+"/v2"))
		}
		return map[string]any{"data": map[string]string{"id": id, "type": "route"}}
	}
	assigned := func(id, kind string) any {
		if id == "" {
			return map[string]any{"data": nil}
		}
		return map[string]any{"data": map[string]string{"id": id, "type": kind}}
	}
	doc.Data = map[string]any{
		"attributes": map[string]any{
			"alias": n.alias, "cnam_lookups_enabled": n.cnam, "number_type": s.numberType(n.source.TollFree), "rate_center": n.source.RateCenter,
			"state": n.source.State, "value": n.value, "status": "PURCHASED", "note": nil, "iso_country": "US",
			"setup_cost": n.source.SetupCost, "monthly_cost": n.source.MonthlyCost, "messaging_enabled": n.messaging(s.now()),
		},
		"id": n.value, "links": self, "type": "number",
		"relationships": map[string]any{"primary_route": relation(slotPrimary), "failover_route": relation(slotFailover),
			"cnam_preset": assigned(n.caller, "cnam"), "e911_address": assigned(n.e911, "e911")},
	}
	return doc
}

// postNumberCallback is POST numbers/{id}/relationships/{callback type}.
func (s *Simulator) postNumberCallback(c *call) reply {
	u, bad := c.callbackURL()
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.acct.book.find(c.r.PathValue("id"), s.now())
	if n == nil {
		return s.apiError(http.StatusNotFound, "", noNumber)
	}
	n.callbacks[callbackKey(c.r.PathValue("relation"))] = u
	return reply{status: http.StatusNoContent}
}

// AddNumber puts a number on the account without a purchase, messaging enabled.
func (s *Simulator) AddNumber(value string) error {
	if digits(value) == 0 {
		return errors.New("add number: 11 digits are needed: " + strconv.Quote(value))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.acct.book
	text := strings.TrimPrefix(value, "+")
	f := ForSale{Number: text, TollFree: tollFree(digits(text)), SetupCost: 1, MonthlyCost: 1.25}
	if i, ok := b.forSale(text); ok {
		f = b.sale[i]
		b.sale = slices.Delete(b.sale, i, i+1)
	}
	b.own(f, s.now())
	return nil
}
