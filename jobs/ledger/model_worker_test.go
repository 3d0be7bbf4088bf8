package ledger_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// begin is a worker's intent. When it may post, a flight begins.
func (w *world) begin() bool {
	job, ok := w.pickDue()
	if !ok {
		return false
	}
	worker := fmt.Sprintf("w%d", w.choose(3))
	w.beginAs(job, worker)
	return true
}

// attempt is an intent, its post, and Flowroute's answer.
func (w *world) attempt() bool {
	job, ok := w.pickDue()
	if !ok || w.beginAs(job, "w1").Decision != ledger.Go {
		return false
	}
	f := w.flights[len(w.flights)-1]
	w.mayPost(f)
	f.posted = true
	w.land(f, w.choose(fates))
	return true
}

func (w *world) beginAs(job *modelJob, worker string) ledger.Begun {
	in := w.intent(job, worker)
	before, known := w.find(job.new.ID)
	if !known {
		return ledger.Begun{}
	}
	begun, err := w.l.Begin(w.ctx, in)
	w.must(err)
	w.t.Logf("%s begins %s with %s: %s %s", worker, job.name, in.Token, begun.Decision, begun.State)
	if begun.Decision != ledger.Go {
		return begun
	}
	w.intents = append(w.intents, in)
	w.unchanged("the intent again", func() {
		again, err := w.l.Begin(w.ctx, in)
		w.must(err)
		if again != begun {
			w.t.Fatalf("the intent again: got %+v, want %+v", again, begun)
		}
	})
	w.flights = append(w.flights, &flight{
		job: job, token: in.Token, attempt: begun.Attempt, worker: worker, alive: true,
		deadline: w.now().Add(begun.Left), resolveAt: begun.ResolveAt,
		before: before, intent: in, begun: begun, begunAt: w.now(),
	})
	return begun
}

func (w *world) intent(job *modelJob, worker string) ledger.Intent {
	w.tokens++
	return ledger.Intent{
		ID: job.new.ID, Generation: 1, Token: fmt.Sprintf("t%d", w.tokens), Account: "fr-test", Budget: modelBudget,
		Timeout: modelTimeout, Settle: modelSettle, Fingerprint: fingerprint(job.text), Worker: worker,
	}
}

// beginUnheard: the intent's command is given up, and reaches Redis before or after
// the worker has said that nothing was posted, or much later.
func (w *world) beginUnheard() bool {
	job, ok := w.pickJob()
	if !ok {
		return false
	}
	in := w.intent(job, "w0")
	heard := w.choose(2) == 0
	if heard {
		_, err := w.l.Begin(w.ctx, in)
		if !w.found(err) {
			return false
		}
	}
	w.t.Logf("%s: an intent with %s is not heard of; Redis got it: %v", job.name, in.Token, heard)
	w.write(ledger.Settlement{ID: job.new.ID, Token: in.Token, To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
	w.intents = append(w.intents, in)
	if got, err := w.l.Begin(w.ctx, in); w.found(err) && got.Decision == ledger.Go {
		w.t.Fatalf("%s: the intent %s went through after its worker had given it up", job.name, in.Token)
	}
	return true
}

// post hands the request over, unless its write deadline is over: a process that was
// stopped sees that when it goes on.
func (w *world) post() bool {
	f, ok := w.pickFlight(func(f *flight) bool { return f.alive && !f.posted })
	if !ok {
		return false
	}
	if w.now().After(f.deadline) {
		f.alive = false
		w.t.Logf("%s/%d: too late to post", f.job.name, f.attempt)
		w.write(ledger.Settlement{ID: f.job.new.ID, Token: f.token, To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
		return true
	}
	w.t.Logf("%s/%d is posted", f.job.name, f.attempt)
	w.mayPost(f)
	f.posted, f.onWire = true, true
	return true
}

// settle writes what a worker knows of its attempt, perhaps long after.
func (w *world) settle() bool {
	f, ok := w.pickFlight(func(f *flight) bool { return f.alive })
	if !ok {
		return false
	}
	w.settleFlight(f, w.choose(4))
	return true
}

// settleFlight: an answer may be read well, in part, or not any more.
func (w *world) settleFlight(f *flight, how int) {
	f.alive = false
	if got, known := w.find(f.job.new.ID); known && got.Fingerprint.IsZero() {
		how = 0 // the intent is lost, and a pending id would be in no group: its record is known
	}
	s := ledger.Settlement{ID: f.job.new.ID, Token: f.token, To: ledger.Unknown, Reason: ledger.ReasonNoAnswer}
	switch {
	case !f.posted:
		s.To, s.Reason, s.Uncounted = ledger.Queued, ledger.ReasonNotSent, true
	case how == 3:
	case f.answer == taken && how == 2:
		s.To, s.Reason = ledger.Accepted, ledger.ReasonIDPending
	case f.answer == taken:
		s.To, s.Reason, s.MDR = ledger.Accepted, ledger.ReasonNone, f.record.mdr
	case f.answer == refused:
		s.To, s.Reason = ledger.Failed, ledger.ReasonRefused
	case f.answer == tooMany:
		s.To, s.Reason, s.Uncounted = ledger.Queued, ledger.ReasonRateLimited, true
	case f.answer == serverError:
		s.Reason = ledger.ReasonServerError
	}
	w.write(s)
}

func (w *world) write(s ledger.Settlement) {
	got, err := w.l.Settle(w.ctx, s)
	w.t.Logf("%s is settled with %s as %s %s: %+v", w.nameOf(s.ID), s.Token, s.To, s.Reason, got)
	if !w.found(err) {
		return
	}
	if s.To == ledger.Accepted && s.MDR != "" {
		w.proven[s.ID] = true
	}
	w.past = append(w.past, s)
	w.unchanged("the outcome again", func() {
		again, err := w.l.Settle(w.ctx, s)
		w.must(err)
		if again.State != got.State {
			w.t.Fatalf("the outcome again: got %+v, want %+v", again, got)
		}
	})
}

// die ends a worker between any two steps.
func (w *world) die() bool {
	f, ok := w.pickFlight(func(f *flight) bool { return f.alive })
	if !ok {
		return false
	}
	w.t.Logf("%s/%d: its worker dies", f.job.name, f.attempt)
	f.alive = false
	return true
}

// again lets an old command reach Redis once more. Nobody waits for its answer.
func (w *world) again() bool {
	if w.choose(2) == 0 {
		s, ok := pick(w, w.past)
		if !ok {
			return false
		}
		got, err := w.l.Settle(w.ctx, s)
		w.found(err)
		w.t.Logf("%s, settled with %s as %s, once more: %+v", w.nameOf(s.ID), s.Token, s.To, got)
		return true
	}
	in, ok := pick(w, w.intents)
	if !ok {
		return false
	}
	got, err := w.l.Begin(w.ctx, in)
	w.found(err)
	w.t.Logf("%s begins with %s once more: %s %s", w.nameOf(in.ID), in.Token, got.Decision, got.State)
	return true
}

func (w *world) beat() bool {
	worker := fmt.Sprintf("w%d", w.choose(3))
	w.must(w.rdb.HSet(w.ctx, ledger.DefaultPrefix+"beats", worker, fmt.Sprintf("%d run 1", w.now().UnixMilli())).Err())
	return true
}

func (w *world) overdue() bool {
	open, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	job, ok := pick(w, open)
	if !ok {
		return false
	}
	state, wait, err := w.l.Overdue(w.ctx, job.ID)
	w.must(err)
	w.t.Logf("%s is looked at: %s, %v", w.nameOf(job.ID), state, wait)
	return true
}

// pickJob picks a job that the ledger may know.
func (w *world) pickJob() (*modelJob, bool) {
	job, ok := pick(w, w.jobs)
	if !ok {
		return nil, false
	}
	_, known := w.find(job.new.ID)
	return job, known
}

// pickDue picks a job to be posted: seldom one that is not queued.
func (w *world) pickDue() (*modelJob, bool) {
	job, ok := w.pickJob()
	if !ok || w.choose(8) == 0 {
		return job, ok
	}
	got, _ := w.find(job.new.ID)
	return job, got.State == ledger.Queued
}

func (w *world) pickFlight(fit func(*flight) bool) (*flight, bool) {
	var list []*flight
	for _, f := range w.flights {
		if fit(f) {
			list = append(list, f)
		}
	}
	return pick(w, list)
}

func (w *world) find(id ledger.ID) (ledger.Job, bool) {
	job, err := w.l.Get(w.ctx, id)
	return job, w.found(err)
}

// found is false when the ledger does not know the job: it was lost.
func (w *world) found(err error) bool {
	if errors.Is(err, ledger.ErrNotFound) {
		return false
	}
	w.must(err)
	return true
}

func (w *world) nameOf(id ledger.ID) string {
	for _, job := range w.jobs {
		if job.new.ID == id {
			return job.name
		}
	}
	return id.String()
}

// longest is when all that is under way is surely over, and to be seen.
const longest = modelBudget + modelTimeout + modelSettle + time.Second
