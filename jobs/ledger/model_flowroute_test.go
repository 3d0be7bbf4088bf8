package ledger_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// modelRecord is a message that Flowroute has accepted.
type modelRecord struct {
	mdr     string
	job     *modelJob
	attempt int
	at      time.Time
	visible bool
	ruledOn bool // a person has decided by it
}

// flight is one attempt, as its worker and the network have it.
type flight struct {
	job       *modelJob
	token     string
	attempt   int
	worker    string
	deadline  time.Time // to write the request
	resolveAt time.Time
	posted    bool
	onWire    bool // the request has not reached Flowroute, and may do so
	alive     bool // its worker is, and has not settled it
	answer    answer
	record    *modelRecord

	// What its worker remembers.
	before  ledger.Job
	intent  ledger.Intent
	begun   ledger.Begun
	begunAt time.Time
}

// answer is what has come back.
type answer string

const (
	none        answer = ""
	taken       answer = "202"
	refused     answer = "refused"
	tooMany     answer = "429"
	serverError answer = "500"
)

// What becomes of a request on its way.
const (
	fateAccepted = iota
	fateLost
	fateAcceptedAndLost // accepted, and its answer gets lost
	fateRefused
	fateTooMany
	fateServerError
	fateAcceptedWithError
	fates
)

// arrive lets a request reach Flowroute, or not.
func (w *world) arrive() bool {
	f, ok := w.pickFlight(func(f *flight) bool { return f.onWire })
	if !ok {
		return false
	}
	w.land(f, w.choose(fates))
	return true
}

func (w *world) land(f *flight, fate int) {
	f.onWire = false
	switch fate {
	case fateAccepted, fateAcceptedAndLost, fateAcceptedWithError:
		w.accept(f)
	}
	switch fate {
	case fateAccepted:
		f.answer = taken
	case fateRefused:
		f.answer = refused
	case fateTooMany:
		f.answer = tooMany
	case fateServerError, fateAcceptedWithError:
		f.answer = serverError
	}
	w.t.Logf("%s/%d: Flowroute has it: %v; answers %q", f.job.name, f.attempt, f.record != nil, f.answer)
}

// accept is where a promise is broken, if it is.
func (w *world) accept(f *flight) {
	r := &modelRecord{mdr: fmt.Sprintf("mdr2-%032x", len(w.records)+1), job: f.job, attempt: f.attempt, at: w.now(), visible: !w.lagging}
	f.record = r
	w.records = append(w.records, r)
	accepted, jobs := len(w.recordsOf(f.job.text)), 0
	for _, job := range w.jobs {
		if job.text == f.job.text {
			jobs++
		}
	}
	w.t.Logf("%s/%d: accepted as %s", f.job.name, f.attempt, r.mdr[30:])
	if accepted > jobs {
		w.t.Fatalf("text %d was accepted %d times for %d jobs", f.job.text, accepted, jobs)
	}
}

// mayPost is asked just before a request leaves: of the jobs with this text that have
// not come to a bad end, there must be more than were accepted.
func (w *world) mayPost(f *flight) {
	wanted := 0
	for _, job := range w.jobs {
		if job.text != f.job.text {
			continue
		}
		got, known := w.find(job.new.ID)
		if !known || !got.State.Final() || got.State.Succeeded() || got.State == ledger.Undelivered || w.lostTrack(job) {
			wanted++
		}
	}
	if accepted := len(w.recordsOf(f.job.text)); accepted >= wanted {
		w.t.Fatalf("%s/%d is posted: its text was accepted %d times already, for %d jobs that want it", f.job.name, f.attempt, accepted, wanted)
	}
}

// lostTrack: Redis has lost the proof that the job was accepted, or that it was posted
// at all, and it was: it has had its text, whatever becomes of it.
func (w *world) lostTrack(job *modelJob) bool {
	return w.forgotten[job.new.ID] && slices.ContainsFunc(w.records, func(r *modelRecord) bool { return r.job == job })
}

func (w *world) recordsOf(text int) (list []*modelRecord) {
	for _, r := range w.records {
		if r.job.text == text {
			list = append(list, r)
		}
	}
	return list
}

// visible are the records of a text that a read shows, and whether that read is
// current: none is held back.
func (w *world) visible(text int) (list []*modelRecord, current bool) {
	for _, r := range w.recordsOf(text) {
		if r.visible {
			list = append(list, r)
		}
	}
	for _, r := range w.records {
		if !r.visible {
			return list, false
		}
	}
	return list, !w.lagging
}

func (w *world) lag() bool {
	if w.lagging {
		return false
	}
	w.t.Logf("records lag")
	w.lagging = true
	return true
}

func (w *world) catchUp() bool {
	if !w.lagging {
		return false
	}
	w.t.Logf("records have caught up")
	w.lagging = false
	for _, r := range w.records {
		r.visible = true
	}
	return true
}

// receipt is a delivery receipt at the address that names job and attempt, early or
// late.
func (w *world) receipt() bool {
	r, ok := pick(w, w.records)
	if !ok {
		return false
	}
	prove := func() (ledger.Settled, bool) {
		got, err := w.l.Prove(w.ctx, r.job.new.ID, r.attempt, r.mdr)
		return got, w.found(err)
	}
	got, ok := prove()
	w.t.Logf("receipt for %s/%d, %s: %+v", r.job.name, r.attempt, r.mdr[30:], got)
	if !ok {
		return true
	}
	w.proven[r.job.new.ID] = true
	w.unchanged("the receipt again", func() { prove() })
	return true
}

// refine is what a delivery receipt or the synced records tell of a record.
func (w *world) refine() bool {
	r, ok := pick(w, w.records)
	if !ok {
		return false
	}
	got, err := w.l.Refine(w.ctx, []ledger.Receipt{{MDR: r.mdr, Delivered: w.choose(2) == 0}})
	w.must(err)
	w.t.Logf("%s: %+v", r.mdr[30:], got)
	return true
}
