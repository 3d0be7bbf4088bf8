package flowroutetest

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DefaultOwned returns the numbers a Simulator's account has by default:
// +12065550100 to +12065550109, and the toll-free +18335550100.
func DefaultOwned() []string {
	var out []string
	for n := range 10 {
		out = append(out, fmt.Sprintf("1206555010%d", n))
	}
	return append(out, "18335550100")
}

// DefaultInventory returns the numbers for sale by default: in each of some
// area codes 60 numbers in three exchanges, and 20 toll-free ones. Setup costs
// are 1, 3.99 and 0.5 dollars.
func DefaultInventory() []ForSale {
	var out []ForSale
	for _, a := range []struct{ code, center, state string }{
		{"201", "jerseycity", "nj"}, {"206", "seattle", "wa"}, {"212", "nwyrcyzn01", "ny"}, {"305", "miami", "fl"},
		{"312", "chicago", "il"}, {"347", "nwyrcyzn02", "ny"}, {"415", "snfc-cntrl", "ca"}, {"503", "portland", "or"},
		{"512", "austin", "tx"}, {"617", "boston", "ma"}, {"646", "nwyrcyzn01", "ny"}, {"702", "las-vegas", "nv"},
	} {
		for i, exchange := range []string{"555", "556", "557"} {
			for n := range 20 {
				out = append(out, ForSale{Number: fmt.Sprintf("1%s%s%04d", a.code, exchange, 130+n*7), RateCenter: a.center, State: a.state,
					SetupCost: []float64{1, 3.99, 0.5}[i], MonthlyCost: 1.25})
			}
		}
	}
	for n := range 20 {
		out = append(out, ForSale{Number: fmt.Sprintf("1833555%04d", 200+n), TollFree: true, SetupCost: 1, MonthlyCost: 1.5})
	}
	return out
}

// text is the number as the API writes it, 11 digits.
func (f ForSale) text() string { return strings.TrimPrefix(f.Number, "+") }

func (s *Simulator) numberType(tollFree bool) string {
	switch {
	case s.o.Choices.OldNumberTypes && tollFree:
		return "tollfree"
	case s.o.Choices.OldNumberTypes:
		return "standard"
	case tollFree:
		return "toll-free"
	}
	return "longcode"
}

// page is what all listings under /v2 have in common.
type page struct {
	limit, offset int
	filters       [][2]string // normalised, as the links echo them
	problems      fieldErrors
}

// readPage reads limit and offset; above most a limit is clamped or refused.
func (s *Simulator) readPage(v url.Values, most int) *page {
	p := &page{problems: fieldErrors{}}
	p.limit = wholeNumber(v, "limit", 10, 1, p.problems)
	p.offset = wholeNumber(v, "offset", 0, 0, p.problems)
	if p.limit > most {
		if s.o.Choices.RefuseOverMax {
			p.problems.add("limit", fmt.Sprintf("Must be at most %d.", most))
		}
		p.limit = most
	}
	return p
}

func (p *page) filter(name, value string) {
	if value != "" {
		p.filters = append(p.filters, [2]string{name, value})
	}
}

// links are self and, when there are more rows, next. Filters come first, in
// order of their names; offset is there even if it was not asked for.
func (p *page) links(base string, rows int) map[string]string {
	slices.SortFunc(p.filters, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	link := func(offset int) string {
		var b strings.Builder
		b.WriteString(base + "?")
		for _, f := range p.filters {
			b.WriteString(f[0] + "=" + url.QueryEscape(f[1]) + "&")
		}
		return fmt.Sprintf("%slimit=%d&offset=%d", b.String(), p.limit, offset)
	}
	out := map[string]string{"self": link(p.offset)}
	if p.offset+p.limit < rows {
		out["next"] = link(p.offset + p.limit)
	}
	return out
}

// listReply cuts the page out of all rows and renders it.
func listReply[T any](c *call, p *page, rows []T, render func(T) any) reply {
	if len(p.problems) > 0 {
		return p.problems.reply()
	}
	data := []any{}
	for _, row := range rows[min(p.offset, len(rows)):min(p.offset+p.limit, len(rows))] {
		data = append(data, render(row))
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": data,
		"links": p.links(c.linkBase()+c.r.URL.Path[len(c.s.o.BasePath):], len(rows))})}
}

// digitsFilter reads a filter of digits. Those of the beginning get the
// country code unless they have it.
func (p *page) digitsFilter(v url.Values, name string) string {
	s := v.Get(name)
	if s == "" {
		return ""
	}
	plus := strings.HasPrefix(s, "+") || strings.HasPrefix(s, " ") // a + that was not encoded
	s = strings.TrimLeft(s, "+ ")
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		p.problems.add(name, "Not a valid integer.")
		return ""
	}
	if name == "starts_with" && !plus && s[0] != '1' {
		s = "1" + s
	}
	p.filter(name, s)
	return s
}

// maxCost reads max_setup_cost, which the API truncates to whole dollars.
func (p *page) maxCost(v url.Values) float64 {
	s := v.Get("max_setup_cost")
	if s == "" {
		return math.Inf(1)
	}
	cost, err := strconv.ParseFloat(s, 64)
	if err != nil || !(cost >= 0 && cost < 1e9) {
		p.problems.add("max_setup_cost", "Not a valid number.")
		return 0
	}
	p.filter("max_setup_cost", strconv.Itoa(int(cost)))
	return math.Trunc(cost)
}

// listAreaCodes is GET numbers/available/areacodes.
func (s *Simulator) listAreaCodes(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 400)
	cost := p.maxCost(v)
	codes := s.prefixes(1, 4, func(f ForSale) bool { return !f.TollFree && f.SetupCost <= cost })
	return listReply(c, p, codes, func(code string) any {
		return map[string]any{"type": "areacode", "id": code,
			"links": map[string]string{"related": c.linkBase() + "/v2/numbers/available/exchanges?areacode=" + code}}
	})
}

// listExchanges is GET numbers/available/exchanges.
func (s *Simulator) listExchanges(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	area := p.digitsFilter(v, "areacode")
	cost := p.maxCost(v)
	codes := s.prefixes(1, 7, func(f ForSale) bool { return f.SetupCost <= cost && strings.HasPrefix(f.text()[1:], area) })
	return listReply(c, p, codes, func(code string) any {
		return map[string]any{"type": "exchange", "id": code,
			"links": map[string]string{"related": c.linkBase() + "/v2/numbers/available?starts_with=1" + code}}
	})
}

// prefixes returns the distinct digits from to to of the numbers for sale that match, ascending.
func (s *Simulator) prefixes(from, to int, match func(ForSale) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, f := range s.acct.book.sale {
		if match(f) {
			out = append(out, f.text()[from:to])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// searchNumbers is GET numbers/available.
func (s *Simulator) searchNumbers(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	starts, has, ends := p.digitsFilter(v, "starts_with"), p.digitsFilter(v, "contains"), p.digitsFilter(v, "ends_with")
	for _, name := range []string{"rate_center", "state", "number_type", "iso_country", "order_by"} {
		p.filter(name, v.Get(name))
	}
	less := s.orderBy(v.Get("order_by"), p.problems)
	kind, country := v.Get("number_type"), v.Get("iso_country")
	s.mu.Lock()
	var rows []ForSale
	for _, f := range s.acct.book.sale {
		n := f.text()
		if strings.HasPrefix(n, starts) && strings.Contains(n, has) && strings.HasSuffix(n, ends) &&
			matches(v.Get("rate_center"), f.RateCenter) && matches(v.Get("state"), f.State) &&
			(kind == "" || kind == s.numberType(f.TollFree)) && (country == "" || strings.EqualFold(country, "US")) {
			rows = append(rows, f)
		}
	}
	s.mu.Unlock()
	slices.SortStableFunc(rows, less)
	return listReply(c, p, rows, func(f ForSale) any {
		attrs := map[string]any{"rate_center": f.RateCenter, "state": f.State, "value": f.text(), "number_type": s.numberType(f.TollFree),
			"setup_cost": f.SetupCost, "monthly_cost": f.MonthlyCost, "iso_country": "US"}
		if f.TollFree {
			attrs["rate_center"], attrs["state"] = nil, nil
		}
		return map[string]any{"attributes": attrs, "type": "number", "id": f.text(),
			"links": map[string]string{"related": c.linkBase() + "/v2/numbers/" + f.text()}}
	})
}

func matches(want, have string) bool { return want == "" || strings.EqualFold(want, have) }

// orderBy reads order_by, for example "tn,asc".
func (s *Simulator) orderBy(order string, problems fieldErrors) func(a, b ForSale) int {
	field, direction, _ := strings.Cut(order, ",")
	sign := 1
	switch direction {
	case "", "asc":
	case "desc":
		sign = -1
	default:
		problems.add("order_by", "Not a valid choice.")
	}
	var by func(a, b ForSale) int
	switch field {
	case "", "tn":
		by = func(a, b ForSale) int { return cmp.Compare(a.text(), b.text()) }
	case "monthly_cost":
		by = func(a, b ForSale) int { return cmp.Compare(a.MonthlyCost, b.MonthlyCost) }
	case "state":
		by = func(a, b ForSale) int { return cmp.Compare(a.State, b.State) }
	case "rate_center":
		by = func(a, b ForSale) int { return cmp.Compare(a.RateCenter, b.RateCenter) }
	case "number_type":
		by = func(a, b ForSale) int { return cmp.Compare(s.numberType(a.TollFree), s.numberType(b.TollFree)) }
	case "iso_country":
		by = func(_, _ ForSale) int { return 0 }
	default:
		problems.add("order_by", "Not a valid choice.")
		by = func(_, _ ForSale) int { return 0 }
	}
	return func(a, b ForSale) int { return sign * by(a, b) }
}
