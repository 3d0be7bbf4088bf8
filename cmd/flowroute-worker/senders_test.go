package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

// known puts a number into the copy.
func (b *bundle) known(number string) {
	b.t.Helper()
	store, err := inventory.New(b.db.Client(), inventory.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	n, err := flowroute.ParseE164(number)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := store.PutDetails(b.t.Context(), flowroute.NumberDetails{Number: flowroute.Number{Number: n}}); err != nil {
		b.t.Fatal(err)
	}
}

// TestForeignSenderIsRefusedAtEveryDoor: in the words of one place, with the field and
// what to do.
func TestForeignSenderIsRefusedAtEveryDoor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.start("run")
	const message = `{"from":"+12065550199","to":"+12065550123","body":"Hello"}`
	post := func(media, body string) (int, string) {
		t.Helper()
		resp, err := http.Post(s.url()+"/v1/messages", media, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	// Never synced: Flowroute is asked for that number.
	const asked = "…0199 is not a number of the account, says Flowroute: send from one of its numbers"
	b.run("send", "--from", "+12065550199", "--to", "+12065550123", "--body", "Hello").want(t, exitUsage, "", "from: "+asked)
	status, body := post("application/json", message)
	var problem struct{ Code, Field, Detail string }
	if err := json.Unmarshal([]byte(body), &problem); err != nil || status != http.StatusUnprocessableEntity || problem.Code != "not_ours" ||
		problem.Field != "from" || !strings.Contains(problem.Detail, asked) {
		t.Errorf("one message: got %d %s", status, body)
	}
	// With a copy, the copy says it.
	b.run("numbers", "sync", "--wait").want(t, exitDone, "", "")
	const copied = "…0199 is not among the account's 11 numbers as of "
	b.run("send", "--from", "+12065550199", "--to", "+12065550123", "--body", "Hello").want(t, exitUsage, "", copied)
	lines := message + "\n" + strings.Replace(message, "0199", "0100", 1) + "\n"
	if _, body := post("application/x-ndjson", lines); !strings.Contains(body, `{"line":1,"error":{"code":"not_ours","message":"`+copied) || !strings.Contains(body, `{"line":2,"id":`) {
		t.Errorf("lines: got %s", body)
	}
	if _, body := get(t, s.url()+"/metrics"); !strings.Contains(body, `flowroute_worker_senders_total{outcome="refused"} 2`) {
		t.Errorf("the metric does not count both:\n%s", body)
	}
	// One that was bought elsewhere since is known once somebody looked.
	if err := b.sim.AddNumber("+12065550199"); err != nil {
		t.Fatal(err)
	}
	b.run("numbers", "show", "+12065550199", "--live").want(t, exitDone, "", "")
	b.run("send", "--from", "+12065550199", "--to", "+12065550123", "--body", "Hello").want(t, exitDone, "", "")
}

// TestSenderThatNobodyCanTellOf passes: the copy was never filled, and there is nobody to
// ask.
func TestSenderThatNobodyCanTellOf(t *testing.T) {
	t.Parallel()
	b := setup(t).with("FR_ACCESS_KEY", "", "FR_SECRET_KEY", "")
	began := time.Now()
	b.run("send", "--from", "+12065550199", "--to", "+12065550123", "--body", "Hello").want(t, exitDone, "", "nobody could tell whether the sender is")
	if took := time.Since(began); took > senderPatience {
		t.Errorf("it took %v", took)
	}
}
