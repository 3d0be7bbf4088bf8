package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// foreign is a sender that is none of the account's numbers.
const foreign = "+12065550199"

func TestForeignSenders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var asked [][]flowroute.E164
	var down error
	client := newClient(t, b.rdb, jobs.Options{Senders: func(_ context.Context, from []flowroute.E164) (map[flowroute.E164]string, error) {
		asked = append(asked, from)
		return map[flowroute.E164]string{number(t, foreign): "is none of ours"}, down
	}})
	strange, keyed := hello(), hello()
	strange.From, keyed.From = foreign, foreign
	keyed.Key = "k"
	batch := []jobs.Message{hello(), strange, hello(), keyed, {From: "nobody"}}
	receipts, errs := client.SendMany(t.Context(), batch)
	want := &jobs.ValidationError{Problems: []jobs.FieldError{{Field: "from", Code: jobs.CodeNotOurs, Message: "is none of ours"}}}
	for i, err := range errs {
		got, invalid := errors.AsType[*jobs.ValidationError](err)
		switch i {
		case 0, 2:
			if err != nil || receipts[i].State != ledger.Queued {
				t.Errorf("message %d: got %+v, %v", i, receipts[i], err)
			}
		case 1, 3:
			if !invalid || cmp.Diff(want, got) != "" || receipts[i] != (jobs.Receipt{}) {
				t.Errorf("message %d: got %+v, %v", i, receipts[i], err)
			}
		default:
			if !invalid || got.Problems[0].Code == jobs.CodeNotOurs {
				t.Errorf("message %d: got %v, want what is wrong with its number", i, err)
			}
		}
	}
	if n := b.total(t); n != 2 || len(asked) != 1 {
		t.Errorf("got %d jobs, and was asked %v; want two, and one question for the batch", n, asked)
	}

	// A key whose job was taken before answers as ever: nobody is to believe that it was not.
	first, err := b.Send(t.Context(), keyed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.Send(t.Context(), keyed)
	if err != nil || again.ID != first.ID || !again.Duplicate {
		t.Errorf("asked for again: got %+v, %v", again, err)
	}
	keyed.Body = "other"
	if _, err := client.Send(t.Context(), keyed); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("the same key with another text: got %v", err)
	}

	// A campaign has looked at its senders itself; its rows are not lost.
	rows := []jobs.Row{{ID: ledger.NewID(), Message: strange}}
	if _, errs := client.SendRows(t.Context(), rows); errs[0] != nil {
		t.Errorf("row: got %v", errs[0])
	}

	down = errors.New("redis is away")
	if _, err := client.Send(t.Context(), strange); err != nil {
		t.Errorf("nobody can tell: got %v, want it taken", err)
	}
}

func TestRefuseOfAPlainTask(t *testing.T) {
	t.Parallel()
	b := setup(t)
	payload := []byte(`{"v":1,"from":"+12065550199","to":"+12065550123","body":"hello","key":"k"}`)
	task, err := jobs.ParseTask(ledger.SendMessage, "t1", "bulk", payload)
	if err != nil {
		t.Fatal(err)
	}
	refused := task.Refuse(jobs.NotOurs("is none of ours"))
	if refused.ID != ledger.TaskID("t1") || refused.ID == task.Job.ID || refused.Queue != "bulk" || refused.Refused != "from: is none of ours" {
		t.Errorf("got %+v, want it under the task's id: its key stays free", refused)
	}
	created, err := b.Ledger().Create(t.Context(), refused)
	if err != nil || created.State != ledger.Failed {
		t.Errorf("got %+v, %v", created, err)
	}
}

func TestAliasOfARouteUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for text, wantErr := range map[string]string{
		`{"number":"+12065550100","alias":"front desk"}`:                      "",
		`{"number":"+12065550100","alias":""}`:                                "",
		`{"v":2,"number":"+12065550100","alias":"a","primary":{"id":"1"}}`:    "",
		`{"v":2,"number":"+12065550100","primary":{"id":"1"}}`:                "",
		`{"v":1,"number":"+12065550100","alias":"a"}`:                         "",
		`{"v":3,"number":"+12065550100","alias":"a"}`:                         "v",
		`{"number":"+12065550100","alias":null}`:                              "primary",
		`{"number":"+12065550100","alias":7}`:                                 "alias",
		`{"number":"+12065550100","alias":" a"}`:                              "alias",
		`{"number":"+12065550100","alias":"` + strings.Repeat("x", 65) + `"}`: "alias",
		`{"number":"+12065550100","alias":"a\u0007b","primary":{"id":"1"}}`:   "alias",
		`{"number":"+12065550100","primary":{"id":"1"},"failover":{"id":""}}`: "failover",
	} {
		_, err := jobs.DecodeRouteUpdate([]byte(text))
		got := ""
		if invalid, ok := errors.AsType[*jobs.ValidationError](err); ok {
			got = invalid.Problems[0].Field
		}
		if got != wantErr {
			t.Errorf("%s: got %v, want a problem of %q", text, err, wantErr)
		}
	}
	named, none := jobs.RouteUpdate{Number: from, Alias: new("a")}, jobs.RouteUpdate{Number: from, Alias: new("")}
	plain := jobs.RouteUpdate{Number: from, Primary: &jobs.RouteSpec{ID: "1"}}
	named.Key, none.Key = "k", "k"
	for _, tt := range []struct {
		update  jobs.RouteUpdate
		version int
		order   []string
	}{{named, 2, []string{"12065550100:alias"}}, {plain, 1, []string{"12065550100:primary"}}} {
		receipt, err := b.UpdateRoute(t.Context(), tt.update)
		if err != nil {
			t.Fatal(err)
		}
		job := b.get(t, receipt.ID)
		var head struct{ V int }
		if err := json.Unmarshal(job.Payload, &head); err != nil || head.V != tt.version || cmp.Diff(tt.order, job.Order) != "" {
			t.Errorf("got %s and slots %q, want version %d and %q", job.Payload, job.Order, tt.version, tt.order)
		}
		spec, err := jobs.RouteUpdateOf(job)
		if err != nil || cmp.Diff(spec.Alias, tt.update.Alias) != "" {
			t.Errorf("got %+v, %v", spec, err)
		}
		job.Payload = []byte(`{"v":3,"number":"+12065550100"}`)
		if _, err := jobs.RouteUpdateOf(job); !errors.Is(err, ledger.ErrNewerVersion) {
			t.Errorf("a newer one: got %v", err)
		}
	}
	if _, err := b.UpdateRoute(t.Context(), none); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("another alias under the same key: got %v, want a conflict", err)
	}
	if _, err := jobs.ParseTask(ledger.RouteUpdate, "x", "numbers", []byte(`{"v":3,"number":"+12065550100"}`)); !errors.Is(err, ledger.ErrNewerVersion) {
		t.Errorf("a newer task: got %v", err)
	}
	task, err := jobs.ParseTask(ledger.RouteUpdate, "x", "numbers", []byte(`{"v":2,"number":"+12065550100","alias":"a"}`))
	if err != nil || task.Job.Refused != "" {
		t.Errorf("a task with an alias: got %+v, %v", task.Job, err)
	}
}
