package jobs

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// RouteUpdate asks for the alias, the primary route and the failover route of one of
// the account's numbers to be set, or for some of them. Updates of one number and of one
// of these run one at a time, in the order in which they were asked for.
//
// With a Key, all other fields are its content.
type RouteUpdate struct {
	Number string `json:"number"`
	// Alias is what the number is to be called, at most 64 characters; empty: nothing.
	// nil leaves it as it is. Workers of a version that knows no aliases leave an update
	// with one to others.
	Alias    *string    `json:"alias,omitempty"`
	Primary  *RouteSpec `json:"primary,omitempty"`
	Failover *RouteSpec `json:"failover,omitempty"`
	Key      string     `json:"key,omitempty"`
}

// RouteSpec names an inbound route: an existing one by its ID, or one by its
// definition, which is looked up and made if there is none.
type RouteSpec struct {
	// ID is a number, like "83834"; "0" is the built-in route to SIP
	// registration, which every account has.
	ID string `json:"id,omitempty"`
	// Type is "host", "number" or "uri".
	Type string `json:"type,omitempty"`
	// Value depends on the type: a host or address ("sip.example.com:5060",
	// "192.0.2.7;transport=tls"), a number, or a SIP URI
	// ("sip:alice@sip.example.com").
	Value string `json:"value,omitempty"`
	// Alias is the name of the route if it is made. Defaults to the first 64
	// characters of Value.
	Alias string `json:"alias,omitempty"`
}

// RouteUpdateSpec is a route update as a worker gets it.
type RouteUpdateSpec struct {
	Number            flowroute.E164
	Alias             *string    // nil: leave it as it is
	Primary, Failover *RouteSpec // nil: leave it as it is
	Key               string
}

// Flowroute is the definition as the API client takes it; of no use with an ID.
func (r RouteSpec) Flowroute() flowroute.NewRoute {
	return flowroute.NewRoute{Type: flowroute.RouteType(r.Type), Value: r.Value, Alias: r.Alias}
}

// Validate reports all that is wrong with the update, as a [*ValidationError].
// [Client.UpdateRoute] does it too.
func (u RouteUpdate) Validate() error {
	var d door
	u.plan(&d)
	return d.err()
}

// DecodeRouteUpdate reads and checks a route update in JSON, as [DecodeMessage]
// does.
func DecodeRouteUpdate(b []byte) (RouteUpdate, error) {
	var u RouteUpdate
	d := door{now: time.Now(), of: ledger.RouteUpdate}
	if _, readable := d.decode(b, u.fields(&d)); readable {
		u.plan(&d)
	}
	return u, d.err()
}

// RouteUpdateOf reads what a job of type [TypeRouteUpdate] asks for. Errors: as
// [MessageOf].
func RouteUpdateOf(job ledger.Job) (RouteUpdateSpec, error) {
	var u RouteUpdate
	if err := unpack(job, ledger.RouteUpdate, &u); err != nil {
		return RouteUpdateSpec{}, err
	}
	return RouteUpdateSpec{Number: job.To, Alias: u.Alias, Primary: u.Primary, Failover: u.Failover, Key: u.Key}, nil
}

func (u *RouteUpdate) fields(d *door) map[string]any {
	return map[string]any{
		"number": &u.Number, "alias": &u.Alias, "key": &u.Key,
		"primary": d.routeField(&u.Primary), "failover": d.routeField(&u.Failover),
	}
}

func (u RouteUpdate) plan(d *door) ledger.NewJob {
	job := ledger.NewJob{Type: ledger.RouteUpdate, Queue: ledger.QueueNumbers, To: d.number("number", u.Number)}
	if u.Alias == nil && u.Primary == nil && u.Failover == nil {
		d.refuse("primary", CodeRequired, "give primary, failover, alias or several of them")
	}
	u.Number = job.To.String()
	u.Primary = u.Primary.check(d, "primary")
	u.Failover = u.Failover.check(d, "failover")
	d.name("key", u.Key, maxKey)
	version := payloadVersion
	if u.Alias != nil {
		d.name("alias", *u.Alias, maxAlias)
		job.Order = append(job.Order, job.To.Digits()+":alias")
		version = aliasVersion
	}
	if u.Primary != nil {
		job.Order = append(job.Order, job.To.Digits()+":primary")
	}
	if u.Failover != nil {
		job.Order = append(job.Order, job.To.Digits()+":failover")
	}
	c := newContent(ledger.RouteUpdate)
	c.add("number", u.Number)
	if u.Alias != nil {
		c.add("alias", "="+*u.Alias) // none is something to ask for too
	}
	c.addRoute("primary", u.Primary)
	c.addRoute("failover", u.Failover)
	job.Content = c.sum()
	job.Payload = packAs(version, u)
	return job
}

func (d *door) routeField(target **RouteSpec) func(string, json.RawMessage) {
	return func(path string, raw json.RawMessage) {
		r := &RouteSpec{}
		*target = r
		d.object(path, raw, map[string]any{"id": &r.ID, "type": &r.Type, "value": &r.Value, "alias": &r.Alias})
	}
}

func (c *content) addRoute(name string, r *RouteSpec) {
	if r != nil {
		c.add(name+".id", r.ID)
		c.add(name+".type", r.Type)
		c.add(name+".value", r.Value)
		c.add(name+".alias", r.Alias)
	}
}

// check returns the route as it is kept: a copy with the alias filled in and a
// number's value as Flowroute writes it.
func (r *RouteSpec) check(d *door, path string) *RouteSpec {
	if r == nil {
		return nil
	}
	kept := *r
	if r.ID != "" {
		if !isDigits(r.ID, 1, 18) {
			d.refuse(path+".id", CodeInvalid, "give the route's id, a number like 83834")
		}
		if r.Type != "" || r.Value != "" || r.Alias != "" {
			d.refuse(path, CodeContradiction, "has an id and a definition: give the id alone, or type, value and alias")
		}
		return &kept
	}
	switch flowroute.RouteType(r.Type) {
	case "":
		d.refuse(path, CodeRequired, "give an id, or type and value")
	case flowroute.RouteHost:
		if !isHostRoute(r.Value) {
			d.refuse(path+".value", CodeInvalid, "give a host or address like sip.example.com or 192.0.2.7:5060, optionally with ;transport=udp, tcp or tls")
		}
	case flowroute.RouteNumber:
		kept.Value = d.number(path+".value", r.Value).Digits()
	case flowroute.RouteURI:
		if !isURIRoute(r.Value) {
			d.refuse(path+".value", CodeInvalid, "give a SIP URI like sip:alice@sip.example.com")
		}
	case flowroute.RouteSIPReg:
		d.refuse(path+".type", CodeInvalid, "the route to SIP registration is built in: give the id 0")
	default:
		d.refuse(path+".type", CodeInvalid, "use host, number or uri")
	}
	if kept.Alias == "" {
		kept.Alias = kept.Value
		if utf8.RuneCountInString(kept.Alias) > maxAlias {
			kept.Alias = string([]rune(kept.Alias)[:maxAlias])
		}
	}
	d.name(path+".alias", r.Alias, maxAlias)
	return &kept
}

// maxRouteValue is in bytes: a host name has at most 253, the rest is parameters.
const maxRouteValue = 400

// isHostRoute: host[:port][;transport=udp|tcp|tls][;weight=n].
func isHostRoute(value string) bool {
	host, parameters, _ := strings.Cut(value, ";")
	return len(value) <= maxRouteValue && isHostPort(host) && areParameters(value, parameters, true)
}

// isURIRoute: sip:user@host[:port][;transport=udp|tcp|tls], or sips.
func isURIRoute(value string) bool {
	scheme, rest, _ := strings.Cut(value, ":")
	address, parameters, _ := strings.Cut(rest, ";")
	user, host, found := strings.Cut(address, "@")
	return len(value) <= maxRouteValue && (scheme == "sip" || scheme == "sips") && found &&
		user != "" && isWord(user, "0123456789-_.!~*'()&=+$,?/%") && isHostPort(host) && areParameters(value, parameters, false)
}

func areParameters(value, parameters string, weighted bool) bool {
	if parameters == "" {
		return !strings.HasSuffix(value, ";")
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, setting, _ := strings.Cut(parameter, "=")
		switch {
		case name == "transport" && (setting == "udp" || setting == "tcp" || setting == "tls"):
		case name == "weight" && weighted && isDigits(setting, 1, 5):
		default:
			return false
		}
	}
	return true
}

func isHostPort(s string) bool {
	host, port, found := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port, found = s[:i], s[i+1:], true
	}
	if found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && strings.HasSuffix(inner, "]")
	}
	return isHostName(host)
}

// isHostName takes names and IPv4 addresses.
func isHostName(host string) bool {
	if len(host) == 0 || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || !isWord(label, "0123456789-_") {
			return false
		}
	}
	return true
}
