package mdr_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// posted makes a job of ours that posts; settle ends its attempt.
func (r *rig) posted() (id ledger.ID, settle func(mdrID string)) {
	r.t.Helper()
	from, err := flowroute.ParseE164("12065550100")
	if err != nil {
		r.t.Fatal(err)
	}
	id = ledger.NewID()
	if _, err := r.led.Create(r.t.Context(), ledger.NewJob{ID: id, Type: ledger.SendMessage, Queue: ledger.QueueNormal, From: from, To: from, Payload: []byte("{}")}); err != nil {
		r.t.Fatal(err)
	}
	job, err := r.led.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	begun, err := r.led.Begin(r.t.Context(), ledger.Intent{ID: id, Generation: job.Generation, Token: id.String(), Account: "fr-test", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute})
	if err != nil || begun.Decision != ledger.Go {
		r.t.Fatalf("begin: got %+v, %v", begun, err)
	}
	return id, func(mdrID string) {
		r.t.Helper()
		if _, err := r.led.Settle(r.t.Context(), ledger.Settlement{ID: id, Token: id.String(), To: ledger.Accepted, MDR: mdrID}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) expectState(id ledger.ID, want ledger.State) {
	r.t.Helper()
	job, err := r.led.Get(r.t.Context(), id)
	if err != nil || job.State != want {
		r.t.Errorf("job: got %q, %v; want %q", job.State, err, want)
	}
}

func (r *rig) expectMatched(id string, want bool) {
	r.t.Helper()
	record, err := r.store.Get(r.t.Context(), id)
	if err != nil || record.Matched != want {
		r.t.Errorf("record: got matched %t, %v; want %t", record.Matched, err, want)
	}
}

func TestEndsReachTheJobs(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	at := r.clock.now().Add(-time.Minute)
	code := func(c int) func(*flowroutetest.Record) { return func(p *flowroutetest.Record) { p.Code = c } }
	good, bad, open := r.plant(at, code(1004)), r.plant(at, code(1007)), r.plant(at, code(1003))
	in := r.plant(at, func(p *flowroutetest.Record) { p.Direction = "inbound" })
	goodJob, settle := r.posted()
	settle(good)
	badJob, settle := r.posted()
	settle(bad)
	openJob, settle := r.posted()
	settle(open)

	if report := r.sync(mdr.SyncRequest{}); report.JobsRefined != 2 || report.New != 4 {
		t.Errorf("got %+v, want two jobs refined", report)
	}
	r.expectState(goodJob, ledger.Delivered)
	r.expectState(badJob, ledger.Undelivered)
	r.expectState(openJob, ledger.Accepted)
	r.expectMatched(good, true)
	r.expectMatched(bad, true)
	r.expectMatched(open, false)
	r.expectMatched(in, false)
	if report := r.sync(mdr.SyncRequest{Since: at.Add(-time.Hour)}); report.JobsRefined != 0 || report.Changed != 0 {
		t.Errorf("once more: got %+v, want nothing refined", report)
	}
}

// The record's end is known before the job's attempt is settled: it is offered
// again until the job can take it.
func TestAnEndThatComesBeforeItsJob(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	id := r.plant(r.clock.now().Add(-time.Minute))
	job, settle := r.posted()
	r.sync(mdr.SyncRequest{})
	r.expectMatched(id, false)
	r.expectState(job, ledger.Sending)
	settle(id)
	r.clock.move(5 * time.Minute)
	if report := r.sync(mdr.SyncRequest{}); report.JobsRefined != 1 || report.Changed != 0 {
		t.Errorf("got %+v, want one refined, and no record changed by that", report)
	}
	r.expectMatched(id, true)
	r.expectState(job, ledger.Delivered)
}

// failing is a ledger that is away at first.
type failing struct {
	mdr.Refiner
	times int
}

func (f *failing) Refine(ctx context.Context, receipts []ledger.Receipt) ([]ledger.Refined, error) {
	if f.times--; f.times >= 0 {
		return nil, errors.New("away")
	}
	return f.Refiner.Refine(ctx, receipts)
}

// The process dies after it read that a message was delivered: the next sync still
// tells the job.
func TestAnEndIsNotLost(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	id := r.plant(r.clock.now().Add(-time.Minute))
	job, settle := r.posted()
	settle(id)
	api, err := flowroute.New(flowroute.Options{BaseURL: r.URL, Credentials: flowroute.Credentials{AccessKey: r.AccessKey, SecretKey: r.SecretKey}, Gate: r.gate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	syncer, err := mdr.NewSyncer(r.store, api, &failing{r.led, 1}, mdr.SyncerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); err == nil {
		t.Error("ledger away: got no error")
	}
	if _, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); err != nil {
		t.Fatal(err)
	}
	r.expectState(job, ledger.Delivered)
}

func TestHandle(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 24 * time.Hour})
	r.plant(r.clock.now().Add(-30 * time.Hour))
	r.plant(r.clock.now().Add(-time.Hour))
	for _, tt := range []struct {
		name, payload string
		new           int
	}{
		{"what is due", `{"v":1}`, 1},
		{"no payload", "", 0},
		{"a duration", `{"v":1,"since":"48h","key":"k"}`, 1},
		{"a time", `{"v":1,"since":"` + r.clock.now().Add(-48*time.Hour).Format(time.RFC3339Nano) + `"}`, 0},
	} {
		result, err := r.syncer.Handle(t.Context(), ledger.Job{ID: ledger.NewID(), Payload: []byte(tt.payload)})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var report mdr.Report
		if err := json.Unmarshal(result, &report); err != nil || report.New != tt.new {
			t.Errorf("%s: got %s, %v; want %d new", tt.name, result, err, tt.new)
		}
	}
	for name, payload := range map[string]string{
		"no JSON": "{", "wrong type": `{"v":1,"since":48}`, "no duration": `{"v":1,"since":"yesterday"}`, "negative": `{"v":1,"since":"-1h"}`, "list": `[]`,
	} {
		_, err := r.syncer.Handle(t.Context(), ledger.Job{Payload: []byte(payload)})
		if _, ok := errors.AsType[*mdr.PayloadError](err); !ok {
			t.Errorf("%s: got %v, want a PayloadError", name, err)
		}
	}
	if _, err := r.syncer.Handle(t.Context(), ledger.Job{Payload: []byte(`{"v":2}`)}); !errors.Is(err, ledger.ErrNewerVersion) {
		t.Errorf("newer payload: got %v, want ErrNewerVersion", err)
	}
}

func TestSyncerOptions(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	for name, o := range map[string]mdr.SyncerOptions{"negative": {Overlap: -1}, "page of one": {PageSize: 1}} {
		if _, err := mdr.NewSyncer(r.store, &flowroute.Client{}, r.led, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := mdr.NewSyncer(nil, nil, nil, mdr.SyncerOptions{}); err == nil {
		t.Error("nothing given: got no error")
	}
}
