package ratelimit

import (
	"time"
)

// limit is one limit of a request and where it lives.
type limit struct {
	name      string
	rate      Rate
	out, told string // keys: permits out, declared rates

	cap  *Cap   // nil: it is the account's
	line string // of a cap: the key of who waits
}

// perDay is the number a day as scripts want it.
func (l *limit) perDay() int {
	if l.cap == nil {
		return -1
	}
	return l.cap.PerDay
}

// limits returns every limit of the account that is set, and those that each kind
// takes from, its own one first. A kind may have none.
func (o *Options) limits() ([]*limit, map[Kind][]*limit) {
	var all []*limit
	byName := make(map[string]*limit)
	for _, v := range []struct {
		name string
		rate Rate
	}{{"sms", o.Limits.SMS}, {"mms", o.Limits.MMS}, {"lookup", o.Limits.Lookups}, {"numbers", o.Limits.Numbers}} {
		if !v.rate.IsZero() {
			l := &limit{name: v.name, rate: v.rate, out: o.outKey(v.name), told: o.toldKey(v.name)}
			byName[v.name] = l
			all = append(all, l)
		}
	}
	taken := map[Kind][]string{
		KindSMS: {"sms"}, KindMMS: {"mms", "sms"}, KindLookup: {"lookup"}, KindNumbers: {"numbers"},
	}
	if o.Limits.LookupsShareSMS {
		taken[KindLookup] = []string{"lookup", "sms"}
	}
	kinds := make(map[Kind][]*limit)
	for _, k := range Kinds() {
		for _, name := range taken[k] {
			if l := byName[name]; l != nil {
				kinds[k] = append(kinds[k], l)
			}
		}
	}
	return all, kinds
}

// caps returns the limits that caps are.
func (s *store) caps(caps []Cap) []*limit {
	list := make([]*limit, len(caps))
	for i, c := range caps {
		list[i] = s.capNamed(capPrefix + c.Name)
		list[i].rate, list[i].cap = c.Rate, &c
	}
	return list
}

// capPrefix keeps the names of caps apart from those of the account's limits.
const capPrefix = "cap:"

// capNamed returns a cap of which no more than the name is known.
func (s *store) capNamed(name string) *limit {
	return &limit{name: name, out: s.o.outKey(name), told: s.o.toldKey(name), line: s.o.lineKey(name)}
}

// days returns the keys of the counters of the day of now and of the next one, and
// when that begins.
func (s *store) days(l *limit, now time.Time) (keys [2]string, end time.Time) {
	end = l.cap.midnight(now)
	for i, day := range []time.Time{now.In(end.Location()), end} {
		keys[i] = s.o.dayKey(l.name, day.Format("20060102"))
	}
	return keys, end
}
