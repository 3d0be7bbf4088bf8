package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// RouteWish is a route that a number should have: one of the account's, or one that there
// is not yet.
type RouteWish struct {
	ID  string             // empty: it is to be made, or there shall be none
	New flowroute.NewRoute // without an ID; the zero value: none
}

// IsNone reports that there shall be no route.
func (w RouteWish) IsNone() bool { return w.ID == "" && w.New.Type == "" }

func (w RouteWish) String() string {
	switch {
	case w.ID != "":
		return w.ID
	case w.New.Type != "":
		return string(w.New.Type) + ":" + w.New.Value
	}
	return None
}

// Difference is a number that is not as it should be.
type Difference struct {
	Line  int
	Is    Number
	Alias *string // nil: as it should be
	// Primary and Failover are what is to be set; nil: as they should be. Where the
	// number's DetailsRead is zero, nobody knows yet what they are.
	Primary, Failover *RouteWish
}

// Drift is what a comparison found.
type Drift struct {
	Same     int // rows
	Differs  []Difference
	Wrong    []RowError // rows that cannot be compared
	Unlisted []Number   // of the account, but in no row
}

// Compare holds what should be against numbers and routes of the copy. Gone numbers may
// be among them. Wrong rows of the file count as such: their numbers are not unlisted.
func Compare(file []Desired, wrong []RowError, numbers []Number, routes []Route) Drift {
	drift := Drift{Wrong: slices.Clone(wrong)}
	known, listed := make(map[flowroute.E164]Number, len(numbers)), map[flowroute.E164]bool{}
	for _, n := range numbers {
		known[n.Number] = n
	}
	for _, e := range wrong {
		listed[e.Number] = true
	}
	names := newRouteNames(routes)
	for _, d := range file {
		listed[d.Number] = true
		n, found := known[d.Number]
		refuse := func(text string) { drift.Wrong = append(drift.Wrong, RowError{d.Line, d.Number, text}) }
		switch {
		case !found:
			refuse(d.Number.String() + " is not on the account")
			continue
		case !n.Gone.IsZero():
			refuse(fmt.Sprintf("%s is no more on the account since %s", d.Number, n.Gone.UTC().Format(time.RFC3339)))
			continue
		}
		diff, err := names.compare(d, n)
		switch {
		case err != nil:
			refuse(err.Error())
		case diff.Alias == nil && diff.Primary == nil && diff.Failover == nil:
			drift.Same++
		default:
			drift.Differs = append(drift.Differs, diff)
		}
	}
	for _, n := range numbers {
		if n.Gone.IsZero() && !listed[n.Number] {
			drift.Unlisted = append(drift.Unlisted, n)
		}
	}
	slices.SortStableFunc(drift.Wrong, func(a, b RowError) int { return cmp.Compare(a.Line, b.Line) })
	return drift
}

// routeNames finds routes by what people call them.
type routeNames struct {
	ids  map[string]Route
	text map[string][]string // alias or value → ids
}

func newRouteNames(routes []Route) routeNames {
	r := routeNames{map[string]Route{}, map[string][]string{}}
	for _, route := range routes {
		r.ids[route.ID] = route
		for _, text := range []string{route.Alias, route.Value} {
			if text != "" && !slices.Contains(r.text[text], route.ID) {
				r.text[text] = append(r.text[text], route.ID)
			}
		}
	}
	return r
}

func (r routeNames) compare(d Desired, n Number) (Difference, error) {
	diff := Difference{Line: d.Line, Is: n}
	if d.Alias != nil && *d.Alias != n.Alias {
		diff.Alias = d.Alias
	}
	for _, slot := range []struct {
		name   string
		wanted *string
		is     string
		into   **RouteWish
	}{{"primary", d.Primary, n.PrimaryRoute, &diff.Primary}, {"failover", d.Failover, n.FailoverRoute, &diff.Failover}} {
		if slot.wanted == nil {
			continue
		}
		wish, err := r.find(*slot.wanted)
		if err != nil {
			return diff, fmt.Errorf("%s: %w", slot.name, err)
		}
		if n.DetailsRead.IsZero() || wish.ID != slot.is || wish.New.Type != "" {
			*slot.into = &wish
		}
	}
	return diff, nil
}

// find is the route of that id, type:value, alias or value.
func (r routeNames) find(text string) (RouteWish, error) {
	if text == "" {
		return RouteWish{}, nil
	}
	if _, found := r.ids[text]; found {
		return RouteWish{ID: text}, nil
	}
	kind, value, typed := strings.Cut(text, ":")
	wanted := flowroute.NewRoute{Type: flowroute.RouteType(kind), Value: value}
	switch wanted.Type {
	case flowroute.RouteHost, flowroute.RouteNumber, flowroute.RouteURI:
	default:
		typed = false
	}
	if typed {
		if number, err := flowroute.ParseE164(value); err == nil && wanted.Type == flowroute.RouteNumber {
			wanted.Value = number.Digits()
		}
		for _, id := range r.text[wanted.Value] {
			if r.ids[id].Type == wanted.Type && r.ids[id].Value == wanted.Value {
				return RouteWish{ID: id}, nil
			}
		}
	}
	ids := slices.Clone(r.text[text])
	if number, err := flowroute.ParseE164(text); err == nil && number.Digits() != text {
		ids = append(ids, r.text[number.Digits()]...)
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); {
	case len(ids) == 1:
		return RouteWish{ID: ids[0]}, nil
	case len(ids) > 1:
		return RouteWish{}, fmt.Errorf("%q is the name of %d routes, %s: give the id", text, len(ids), strings.Join(ids, " and "))
	case typed:
		return RouteWish{New: wanted}, nil
	}
	return RouteWish{}, fmt.Errorf("no route has the id, alias or value %.80q (routes list); host:…, number:… or uri:… is made where there is none", text)
}
