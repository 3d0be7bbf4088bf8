package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

type jobPage struct {
	Items []struct{ ID, State, From, To string }
	Next  string `json:"next_cursor"`
}

// The list has every message once, whatever became of it and however small its pages are,
// and no text of any.
func TestMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all, cancelled []string
	for i := range 30 {
		receipt, err := b.jobs.Send(t.Context(), jobs.Message{From: "+12065550100", To: fmt.Sprintf("+1206555%04d", 120+i%10), Body: "swordfish"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, receipt.ID)
		if i%3 == 0 {
			b.do("DELETE", "/v1/messages/"+receipt.ID, "").want(t, 200)
			cancelled = append(cancelled, receipt.ID)
		}
	}
	b.do("POST", "/v1/number-purchases", `{"number":"+12065550199"}`).want(t, 202)
	list := func(query string) (ids []string) {
		t.Helper()
		for next := query; ; {
			a := b.do("GET", "/v1/messages?"+next, "").want(t, 200)
			if strings.Contains(string(a.body), "swordfish") {
				t.Errorf("a text is shown: %s", a.body)
			}
			page := decode[jobPage](t, a)
			for _, item := range page.Items {
				ids = append(ids, item.ID)
			}
			if page.Next == "" {
				slices.Sort(ids)
				return ids
			}
			next = query + "&cursor=" + page.Next
		}
	}
	slices.Sort(all)
	slices.Sort(cancelled)
	for _, limit := range []int{1, 7, 1000} {
		if got := list(fmt.Sprintf("limit=%d", limit)); !slices.Equal(got, all) {
			t.Errorf("in pages of %d: got %d messages, want %d", limit, len(got), len(all))
		}
	}
	if got := list("limit=2&state=cancelled"); !slices.Equal(got, cancelled) {
		t.Errorf("got %d cancelled ones, want %d", len(got), len(cancelled))
	}
	if got := list("limit=2&state=cancelled&to=(206)+555-0123&from=%2B12065550100"); len(got) != 1 {
		t.Errorf("got %d cancelled ones to one number, want 1", len(got))
	}
	if got := list("from=12065550101"); len(got) != 0 {
		t.Errorf("got %d from a number that sent none", len(got))
	}
}

// Those of a campaign come in the order of its rows.
func TestMessagesOfACampaign(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	_, total := b.allInOne(`{"from":"+12065550100","template":"hello"}` + "\n" + `{"phone":"+12065550101"}` + "\n" + `{"phone":"+12065550102"}` + "\n" + `{"phone":"+12065550103"}`)
	if total.Total == nil || total.Total.Accepted != 3 {
		t.Fatalf("got %+v, want 3 taken", total)
	}
	of, err := ledger.ParseID(decode[struct{ Items []struct{ ID string } }](t, b.do("GET", "/v1/campaigns", "").want(t, 200)).Items[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	// As the feeder makes them, but for one that still waits.
	for _, row := range []uint32{1, 3} {
		job := ledger.NewJob{ID: of.OfRow(row), Type: ledger.SendMessage, Queue: ledger.QueueBulk, Payload: []byte(`{"v":1}`)}
		if _, err := b.jobs.Ledger().Create(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	var rows []string
	for cursor := ""; ; {
		page := decode[jobPage](t, b.do("GET", "/v1/messages?limit=1&campaign="+of.String()+cursor, "").want(t, 200))
		for _, item := range page.Items {
			rows = append(rows, item.ID)
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + page.Next
	}
	if want := []string{of.OfRow(1).String(), of.OfRow(3).String()}; !slices.Equal(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}
