package flowroute_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// listing is a server with rows r1, r2, …, newest last in the field and first in
// the answer, that can misbehave.
type listing struct {
	mu      sync.Mutex
	ids     []string // in the order of the list
	queries []string // "limit offset" of each request

	cap         int               // 0: as many as are asked for
	ignoreLimit bool              // gives all there is
	noLinks     bool              // leaves links away
	alwaysNext  bool              // has links.next on the last page too
	before      func(request int) // called with the lock held before each answer
}

func rows(from, to int) []string {
	var ids []string
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("r%d", i))
	}
	return ids
}

func (l *listing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	query := r.URL.Query()
	limit := must(strconv.Atoi(query.Get("limit")))
	offset := must(strconv.Atoi(query.Get("offset")))
	l.queries = append(l.queries, fmt.Sprint(limit, " ", offset))
	if l.before != nil {
		l.before(len(l.queries))
	}
	if l.cap > 0 {
		limit = min(limit, l.cap)
	}
	if l.ignoreLimit {
		limit = len(l.ids)
	}
	begin := min(offset, len(l.ids))
	end := min(begin+limit, len(l.ids))

	type row struct {
		ID         string `json:"id"`
		Attributes any    `json:"attributes,omitempty"`
	}
	page := struct {
		Data  []row             `json:"data"`
		Links map[string]string `json:"links,omitempty"`
	}{Data: []row{}, Links: map[string]string{"self": "https://elsewhere.invalid/"}}
	for _, id := range l.ids[begin:end] {
		page.Data = append(page.Data, row{ID: id})
	}
	if end < len(l.ids) || l.alwaysNext {
		page.Links["next"] = "https://elsewhere.invalid/next"
	}
	if l.noLinks {
		page.Links = nil
	}
	json.NewEncoder(w).Encode(page)
}

func (l *listing) client(t *testing.T) *flowroute.Client {
	return newClient(t, newAPI(t, l.ServeHTTP).URL)
}

var since = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// readMDRs returns the ids in the order in which they came.
func readMDRs(t *testing.T, c *flowroute.Client, limit int) ([]string, error) {
	t.Helper()
	var ids []string
	for m, err := range c.MDRs(t.Context(), flowroute.MDRQuery{Start: since, Limit: limit}) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// TestMDRs reads lists that stay as they are from servers with their own ideas.
func TestMDRs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		list    *listing
		limit   int
		queries []string
	}{
		{"empty", &listing{}, 3, []string{"3 0"}},
		{"one page", &listing{ids: rows(1, 2)}, 3, []string{"3 0"}},
		{"one full page", &listing{ids: rows(1, 3)}, 3, []string{"3 0"}},
		{"three pages", &listing{ids: rows(1, 8)}, 3, []string{"3 0", "4 2", "4 5"}},
		{"one row a page", &listing{ids: rows(1, 4)}, 1, []string{"1 0", "2 0", "2 1", "2 2"}},
		{"default limit", &listing{ids: rows(1, 3)}, 0, []string{"1000 0"}},
		{"capped", &listing{ids: rows(1, 7), cap: 3}, 100, []string{"100 0", "101 2", "101 4"}},
		{"limit ignored", &listing{ids: rows(1, 7), ignoreLimit: true}, 2, []string{"2 0"}},
		{"no links", &listing{ids: rows(1, 5), noLinks: true}, 3, []string{"3 0", "4 2", "4 4"}},
		{"no links, capped", &listing{ids: rows(1, 5), noLinks: true, cap: 2}, 3, []string{"3 0", "4 1", "4 2", "4 3", "4 4"}},
		{"no links, empty", &listing{noLinks: true}, 3, []string{"3 0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := readMDRs(t, test.list.client(t), test.limit)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.list.ids, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.queries, test.list.queries); diff != "" {
				t.Errorf("limits and offsets (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMDRsOfMovingList: none that was there from beginning to end is missed.
func TestMDRsOfMovingList(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(l *listing, request int)
		want   []string // without repetitions, in the order of their first coming
		err    error
	}{
		{"rows arrive at the head", func(l *listing, request int) {
			if request > 1 {
				l.ids = append([]string{fmt.Sprintf("new%d", request)}, l.ids...)
			}
		}, rows(1, 9), nil},
		{"a row leaves before the overlap", func(l *listing, request int) {
			if request == 2 {
				l.ids = l.ids[1:]
			}
		}, rows(1, 9), nil},
		{"the known row leaves", func(l *listing, request int) {
			if request == 2 {
				l.ids = slices.Delete(l.ids, 2, 3)
			}
		}, rows(1, 9), nil},
		{"more rows arrive than a page holds", func(l *listing, request int) {
			if request == 2 {
				l.ids = append([]string{"n1", "n2", "n3", "n4", "n5"}, l.ids...)
			}
		}, append([]string{"r1", "r2", "r3", "n1", "n2", "n3", "n4", "n5"}, rows(4, 9)...), nil},
		{"the list ends before the overlap", func(l *listing, request int) {
			if request == 2 {
				l.ids = l.ids[:1]
			}
		}, rows(1, 3), nil},
		{"the list never rests", func(l *listing, request int) {
			if request%2 == 0 {
				l.ids = slices.Insert(l.ids, 0, fmt.Sprintf("a%d", request), fmt.Sprintf("b%d", request), fmt.Sprintf("c%d", request), fmt.Sprintf("d%d", request))
			}
		}, nil, flowroute.ErrListMoved},
		{"more is promised for ever", func(l *listing, _ int) { l.alwaysNext = true }, rows(1, 9), flowroute.ErrListMoved},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := &listing{ids: rows(1, 9)}
			l.before = func(request int) { test.change(l, request) }
			got, err := readMDRs(t, l.client(t), 3)
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, unique(got)); diff != "" && test.want != nil {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if len(l.queries) > 20 {
				t.Errorf("got %d requests, want an end", len(l.queries))
			}
		})
	}
}

func unique(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// TestLists reads the other lists, which have no overlap.
func TestLists(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		list    *listing
		queries []string
	}{
		{"empty", &listing{}, []string{"3 0"}},
		{"three pages", &listing{ids: rows(1, 8)}, []string{"3 0", "3 3", "3 6"}},
		{"full last page", &listing{ids: rows(1, 6)}, []string{"3 0", "3 3"}},
		{"capped", &listing{ids: rows(1, 5), cap: 2}, []string{"3 0", "3 2", "3 4"}},
		{"limit ignored", &listing{ids: rows(1, 5), ignoreLimit: true}, []string{"3 0"}},
		{"no links", &listing{ids: rows(1, 5), noLinks: true}, []string{"3 0", "3 3", "3 5"}},
		{"next on the last page", &listing{ids: rows(1, 4), alwaysNext: true}, []string{"3 0", "3 3", "3 4"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for route, err := range test.list.client(t).Routes(t.Context(), flowroute.RouteQuery{Limit: 3}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, route.ID)
			}
			if diff := cmp.Diff(test.list.ids, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.queries, test.list.queries); diff != "" {
				t.Errorf("limits and offsets (-want +got):\n%s", diff)
			}
		})
	}
}

// TestListStops: no page is asked for that nobody wants, and an error is the last
// thing that comes.
func TestListStops(t *testing.T) {
	t.Parallel()
	t.Run("when the caller does", func(t *testing.T) {
		t.Parallel()
		l := &listing{ids: rows(1, 9)}
		c := l.client(t)
		for range c.Routes(t.Context(), flowroute.RouteQuery{Limit: 3}) {
			break
		}
		for range c.MDRs(t.Context(), flowroute.MDRQuery{Start: since, Limit: 3}) {
			break
		}
		if got := len(l.queries); got != 2 {
			t.Errorf("got %d requests, want one for each list", got)
		}
	})
	t.Run("at an error", func(t *testing.T) {
		t.Parallel()
		l := &listing{ids: rows(1, 9)}
		server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("offset") != "0" {
				reply(503, "")(w, r)
				return
			}
			l.ServeHTTP(w, r)
		})
		c := newClient(t, server.URL)
		var ids []string
		var errs []error
		for route, err := range c.Routes(t.Context(), flowroute.RouteQuery{Limit: 3}) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			ids = append(ids, route.ID)
		}
		if len(ids) != 3 || len(errs) != 1 {
			t.Errorf("got rows %v and errors %v, want 3 rows and one error", ids, errs)
		}
		got, err := readMDRs(t, c, 3)
		if e, ok := errors.AsType[*flowroute.APIError](err); len(got) != 3 || !ok || e.Status != 503 {
			t.Errorf("got %v, %v, want 3 rows and a 503", got, err)
		}
	})
	t.Run("when pages repeat", func(t *testing.T) {
		t.Parallel()
		server := newAPI(t, reply(200, golden(t, "routes"))) // whatever the offset
		count := 0
		for _, err := range newClient(t, server.URL).Routes(t.Context(), flowroute.RouteQuery{}) {
			if count++; count > 10 {
				t.Fatal("the list does not end")
			}
			if err != nil && server.requests.Load() != 2 {
				t.Errorf("got %d requests, want 2", server.requests.Load())
			}
		}
	})
}
