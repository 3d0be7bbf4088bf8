package httpapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// TestAMillionRecipientsFromOneWhoReadsLate: a client that writes everything before it
// reads anything must not hang, and gets an answer to each row, in order.
func TestAMillionRecipientsFromOneWhoReadsLate(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	b := setupCampaignsOn(t, db.Client(), func(o *httpapi.Options) { o.SpoolDir = t.TempDir() })
	count := 1_000_000
	if race.Enabled || db.Kind == redisembed.KindInProcess { // which is slow
		count = 100_000
	}
	var body bytes.Buffer
	body.WriteString(keyedHead)
	for i := range count {
		body.WriteString(to(i) + "\n")
	}
	began := time.Now()
	response := b.writeAllThenRead("/v1/campaigns", int64(body.Len()), &body)
	answers := bufio.NewScanner(response.Body)
	if !answers.Scan() || !strings.Contains(answers.Text(), `"campaign":{`) {
		t.Fatalf("got %s", answers.Text())
	}
	line, want := 0, []byte(nil)
	for ; line < count && answers.Scan(); line++ {
		if want = append(strconv.AppendInt(append(want[:0], `{"line":`...), int64(line+2), 10), `,"state":"accepted","id":"`...); !bytes.HasPrefix(answers.Bytes(), want) {
			t.Fatalf("line %d: got %s", line+2, answers.Text())
		}
	}
	last := fmt.Sprintf(`{"total":{"rows":%[1]d,"accepted":%[1]d,"duplicate":0,"blocked":0,"invalid":0,"segments":%[1]d},"state":"running"}`, count)
	if !answers.Scan() || answers.Text() != last || answers.Scan() {
		t.Errorf("got %s after %d lines, want %s", answers.Text(), line, last)
	}
	t.Logf("took %v", time.Since(began))
}

// TestRecipientAnswersThatNobodyReads: when there is no more room for them the rest is not
// taken, and nothing starts.
func TestRecipientAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t, func(o *httpapi.Options) { o.SpoolSize, o.ReadTimeout = 3<<20, time.Second })
	addr, stop := serve(t, b.server)
	defer stop()
	b.url = "http://" + addr
	const count = 300_000 // which are more than sockets hold, as their answers are
	padding := strings.Repeat(" ", 100) + "\n"
	var body bytes.Buffer
	body.WriteString(keyedHead)
	for i := range count {
		body.WriteString(to(i) + padding)
	}
	response := b.writeAllThenRead("/v1/campaigns", int64(body.Len()), &body)
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	list, last := rowsOf(t, all)
	if last.Error == nil || last.Error.Code != "answers_not_read" || last.State != "draft" || last.Total.Accepted != len(list)-2 || last.Total.Accepted >= count {
		t.Fatalf("got %s after %d lines", list[len(list)-1], len(list))
	}
	got, _, err := b.store.List(t.Context(), 1, ledger.ID{})
	if err != nil || got[0].Rows != last.Total.Accepted {
		t.Errorf("got %+v, %v, want %d, those that were answered", got, err, last.Total.Accepted)
	}
}
