package mdr_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// serveList serves MDR listings whose order the test decides, request by request.
func serveList(t *testing.T, most int, rows func(request int) []flowroute.MDR) string {
	t.Helper()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		start, _ := time.Parse(time.RFC3339Nano, q.FormValue("start_date"))
		end, _ := time.Parse(time.RFC3339Nano, q.FormValue("end_date"))
		offset, _ := strconv.Atoi(q.FormValue("offset"))
		limit, _ := strconv.Atoi(q.FormValue("limit"))
		list := slices.DeleteFunc(slices.Clone(rows(int(requests.Add(1)))), func(m flowroute.MDR) bool {
			return m.Timestamp.Before(start) || m.Timestamp.After(end)
		})
		list = list[min(offset, len(list)):]
		limit = min(limit, most, len(list))
		more, data := limit < len(list), []any{}
		for _, m := range list[:limit] {
			data = append(data, map[string]any{"type": "message", "id": m.ID, "attributes": map[string]any{
				"direction": m.Direction, "from": m.From, "to": m.To, "body": m.Body, "status": m.Status,
				"amount_nanodollars": m.AmountNanodollars, "amount_display": m.AmountDisplay, "message_type": m.MessageType,
				"timestamp": m.Timestamp.Format(time.RFC3339Nano), "delivery_receipts": []any{}, "message_encoding": 0, "is_mms": false,
			}})
		}
		links := map[string]string{}
		if more {
			links["next"] = "https://api.flowroute.com/"
		}
		w.Header().Set("Content-Type", "application/vnd.api+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "links": links})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (r *rig) expectHeld(want []flowroute.MDR) {
	r.t.Helper()
	got := map[string]bool{}
	for _, m := range all(r.t, r.store, mdr.Query{}) {
		got[m.ID] = true
	}
	for i, m := range want {
		if !got[m.ID] {
			r.t.Errorf("record %d of %v is missing", i, m.Timestamp)
		}
	}
}

// Rows of the same moment come in another order at each request, as a database
// gives them when nothing else is asked for.
func TestRowsOfTheSameMomentChangePlaces(t *testing.T) {
	t.Parallel()
	for _, ties := range []int{2, 5, 9} {
		r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 12 * time.Hour})
		var rows []flowroute.MDR
		for i := range 300 {
			m := r.make.sent(r.clock.now().Add(-8 * time.Hour).Add(-time.Duration(i/ties) * time.Second))
			m.Receipts = nil
			rows = append(rows, m)
		}
		random := newMaker(uint64(ties))
		url := serveList(t, 25, func(int) []flowroute.MDR {
			for group := range slices.Chunk(rows, ties) {
				random.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
			}
			return rows
		})
		syncer := r.newSyncer(url, mdr.SyncerOptions{FirstReach: 12 * time.Hour})
		if _, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); err != nil {
			t.Errorf("%d of a moment: %v", ties, err)
		}
		r.expectHeld(rows)
	}
}

// A row in the middle jumps to the top between two pages: the rows below it move
// down, and a reading that only looked for repeated rows would take the jump for a
// new row.
func TestARowJumpsOverTheReader(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	var rows []flowroute.MDR
	for i := range 100 {
		rows = append(rows, r.make.sent(r.clock.now().Add(-8*time.Hour-time.Duration(i)*time.Second)))
	}
	jumping := true
	url := serveList(t, 20, func(int) []flowroute.MDR {
		if jumping {
			row := rows[60]
			rows = slices.Insert(slices.Delete(rows, 60, 61), 0, row)
		}
		return rows
	})
	syncer := r.newSyncer(url, mdr.SyncerOptions{FirstReach: 12 * time.Hour})
	_, err := syncer.Sync(t.Context(), mdr.SyncRequest{})
	if !errors.Is(err, mdr.ErrListMoved) {
		t.Errorf("rows jump at every request: got %v, want ErrListMoved", err)
	}
	if c := r.coverage(); c.First.Before(r.clock.now().Add(-8 * time.Hour)) {
		t.Errorf("got coverage %+v, want it to begin after the window", c)
	}
	jumping = false
	if _, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); err != nil {
		t.Errorf("rows rest: %v", err)
	}
	r.expectHeld(rows)
}

// So many rows of one moment that they fill a page: all are read as far as can be
// told, and the report says so.
func TestAMomentFillsAPage(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	var rows []flowroute.MDR
	for range 50 {
		rows = append(rows, r.make.sent(r.clock.now().Add(-8*time.Hour)))
	}
	syncer := r.newSyncer(serveList(t, 10, func(int) []flowroute.MDR { return rows }), mdr.SyncerOptions{})
	report, err := syncer.Sync(t.Context(), mdr.SyncRequest{})
	if err != nil || report.Warning == "" {
		t.Errorf("got %+v, %v; want a warning", report, err)
	}
	r.expectHeld(rows)
}

// Rows vanish between two pages, so that those below move up under the reader.
func TestRowsVanishUnderTheReader(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	var rows []flowroute.MDR
	for i := range 100 {
		rows = append(rows, r.make.sent(r.clock.now().Add(-8*time.Hour-time.Duration(i)*time.Second)))
	}
	left := rows[10:]
	var paging atomic.Int64
	url := serveList(t, 20, func(int) []flowroute.MDR {
		return rows
	})
	syncer := r.newSyncer(url, mdr.SyncerOptions{FirstReach: 12 * time.Hour})
	r.before = func(ctx context.Context, _ int) error {
		// Once the first rows are stored, they are gone from the list.
		if page, err := r.store.List(ctx, mdr.Query{}); err == nil && len(page.Records) > 0 && paging.Add(1) == 1 {
			rows = left
		}
		return nil
	}
	if _, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); err != nil {
		t.Fatal(err)
	}
	if paging.Load() == 0 {
		t.Error("nothing vanished: the test tests nothing")
	}
	r.expectHeld(left)
}

func TestAServerThatDoesNotAdvance(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	rows := []flowroute.MDR{r.make.sent(r.clock.now().Add(-time.Hour)), r.make.sent(r.clock.now().Add(-2 * time.Hour))}
	syncer := r.newSyncer(serveList(t, 1, func(int) []flowroute.MDR { return rows }), mdr.SyncerOptions{})
	report, err := syncer.Sync(t.Context(), mdr.SyncRequest{})
	if err == nil || report.Requests > 20 {
		t.Errorf("one row a page: got %v after %d requests, want an error after few", err, report.Requests)
	}
}
