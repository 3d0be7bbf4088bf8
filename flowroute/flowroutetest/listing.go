package flowroutetest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listMessages is GET messages.
func (s *Simulator) listMessages(c *call) reply {
	q, bad := s.readListing(c.r.URL.Query())
	if bad != nil {
		return *bad
	}
	now := s.now().UnixNano()
	var rows []int32
	more := false
	if _, empty := s.faults.hit("mdr-empty-200", OpLookup); !empty {
		s.mu.Lock()
		all := s.acct.store.window(q.start, q.end, now)
		if s.o.Choices.OrderByUpdate {
			all = s.acct.store.byChange(all, now)
		}
		last := len(all) - min(q.offset, len(all))
		first := max(last-min(q.limit, last), 0)
		rows, more = slices.Clone(all[first:last]), first > 0
		s.mu.Unlock()
		slices.Reverse(rows)
	}
	tail := `],"links":{}}`
	if more {
		tail = `],"links":{"next":` + string(appendText(nil, c.linkBase()+c.r.URL.Path[len(s.o.BasePath):]+q.next())) + `}}`
	}
	return reply{status: http.StatusOK, stream: func(w io.Writer) error {
		return s.writeRows(w, rows, now, c.version == "v2.2", tail)
	}}
}

// writeRows streams a listing in slices, so that a page of a million rows
// neither takes its size in memory nor keeps everybody else waiting.
func (s *Simulator) writeRows(w io.Writer, rows []int32, now int64, priced bool, tail string) error {
	b := append(make([]byte, 0, 64<<10), `{"data":[`...)
	sep := false
	for part := range slices.Chunk(rows, 128) {
		s.mu.Lock()
		for _, i := range part {
			r := s.acct.store.at(i)
			if r == nil {
				continue // forgotten meanwhile
			}
			if sep {
				b = append(b, ',')
			}
			sep = true
			b = appendRecord(b, r, now, priced)
		}
		s.mu.Unlock()
		if len(b) > 32<<10 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(append(b, tail...))
	return err
}

// byChange orders rows by when they last changed, latest last.
func (st *store) byChange(rows []int32, now int64) []int32 {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b int32) int {
		return cmp.Compare(st.at(a).changed(now), st.at(b).changed(now))
	})
	return rows
}

// listing is the query of GET messages.
type listing struct {
	start, end    int64
	endExact      time.Time // as asked, for the link
	startExact    time.Time
	hasEnd        bool
	limit, offset int
}

func (s *Simulator) readListing(v url.Values) (listing, *reply) {
	ch := s.o.Choices
	q := listing{end: never, limit: ch.MDRDefaultLimit}
	problems := fieldErrors{}
	switch start := v.Get("start_date"); {
	case start == "":
		problems.add("start_date", missingField)
	default:
		q.startExact = parseDate(start, "start_date", problems)
		q.start = q.startExact.UnixNano()
	}
	if end := v.Get("end_date"); end != "" {
		q.endExact, q.hasEnd = parseDate(end, "end_date", problems), true
		q.end = q.endExact.UnixNano()
		if ch.EndDateExclusive {
			q.end--
		}
	}
	q.limit = wholeNumber(v, "limit", q.limit, 1, problems)
	q.offset = wholeNumber(v, "offset", 0, 0, problems)
	if ch.MDRPageCap > 0 {
		q.limit = min(q.limit, ch.MDRPageCap)
	}
	if ch.MDRIgnoreLimit {
		q.limit = ch.MDRDefaultLimit
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return q, &rep
	}
	return q, nil
}

// next is the query of the link to the page after q's: dates normalised to
// +00:00, in the order limit, start_date, end_date, offset.
func (q listing) next() string {
	link := "?limit=" + strconv.Itoa(q.limit) + "&start_date=" + url.QueryEscape(echoDate(q.startExact))
	if q.hasEnd {
		link += "&end_date=" + url.QueryEscape(echoDate(q.endExact))
	}
	return link + "&offset=" + strconv.Itoa(q.offset+q.limit)
}

func echoDate(t time.Time) string {
	if t.Nanosecond() == 0 {
		return t.UTC().Format(listingTime)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000+00:00")
}

// parseDate reads a date or any ISO 8601 time; without an offset it is UTC.
func parseDate(s, field string, problems fieldErrors) time.Time {
	s = strings.Replace(s, " ", "+", 1) // a + that was not encoded arrives as a space
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999-0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			if year := t.Year(); year >= 1678 && year < 2262 {
				return t
			}
		}
	}
	problems.add(field, "Not a valid datetime.")
	return time.Time{}
}

// wholeNumber reads a number of at least least from the query.
func wholeNumber(v url.Values, name string, fallback, least int, problems fieldErrors) int {
	s := v.Get(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		problems.add(name, "Not a valid integer.")
	case n < least:
		problems.add(name, fmt.Sprintf("Must be at least %d.", least))
	}
	return n
}
