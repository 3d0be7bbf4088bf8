package ledger_test

import (
	"maps"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// losses are what can happen besides: Redis goes back to what it was some time ago, a
// fence is raised and, once the records of the gap were matched, lowered again.
func losses() []step {
	return []step{
		{"copy of Redis", 2, (*world).save},
		{"copy put back", 2, (*world).restore},
		{"worker remembers", 4, (*world).remind},
		{"fence is raised", 4, (*world).raise},
		{"fence's read", 6, (*world).readGap},
		{"fence is lowered", 6, (*world).lower},
		{"until the fence may go", 4, (*world).passToReady},
	}
}

// snapshot is the whole database at some moment.
type snapshot struct {
	at       time.Time
	commands [][]any
	proven   map[ledger.ID]bool
}

// modelFence is where the handling of a loss stands.
type modelFence struct {
	from    time.Time
	raised  bool
	id      string
	ready   time.Time
	read    bool
	records []*modelRecord // of the gap that are nobody's
}

func (w *world) save() bool {
	if w.fence != nil {
		return false
	}
	commands, err := copyOf(w.ctx, w.rdb, ledger.DefaultPrefix+"*")
	w.must(err)
	w.saved = &snapshot{at: w.now(), commands: commands, proven: maps.Clone(w.proven)}
	w.t.Logf("a copy of Redis is made")
	return true
}

// restore puts the copy back. Another run of the server answers then.
func (w *world) restore() bool {
	if w.saved == nil || w.now().Sub(w.saved.at) < time.Second {
		return false
	}
	w.must(putBack(w.ctx, w.rdb, ledger.DefaultPrefix+"*", w.saved.commands))
	for id := range w.proven {
		w.forgotten[id] = w.forgotten[id] || !w.saved.proven[id]
	}
	for _, f := range w.flights {
		if !f.begunAt.Before(w.saved.at) {
			w.forgotten[f.job.new.ID] = true
		}
	}
	w.proven = maps.Clone(w.saved.proven)
	w.must(w.rdb.HSet(w.ctx, ledger.DefaultPrefix+"fence", "run", "the-one-before").Err())
	w.fence = &modelFence{from: w.saved.at}
	w.t.Logf("the copy of %v ago is put back", w.now().Sub(w.saved.at))
	return true
}

// remind lets a worker that is alive write down again what it remembers of an attempt.
func (w *world) remind() bool {
	f, ok := w.pickFlight(func(f *flight) bool { return f.alive && w.fence != nil && f.begunAt.After(w.fence.from) })
	if !ok {
		return false
	}
	w.t.Logf("%s/%d is written down again", f.job.name, f.attempt)
	w.must(w.l.Reassert(w.ctx, []ledger.Memory{{Job: f.before, Intent: f.intent, Begun: f.begun}}))
	return true
}

// raise does what a worker's sign of life does in the end.
func (w *world) raise() bool {
	if w.fence == nil || w.fence.raised {
		return false
	}
	state, err := w.l.FenceState(w.ctx)
	w.must(err)
	f := w.fence
	f.raised, f.id, f.ready = true, ledger.NewID().String(), w.now().Add(longest)
	w.must(w.rdb.HSet(w.ctx, ledger.DefaultPrefix+"fence", "run", state.Current, "up", "1", "id", f.id,
		"from", f.from.UnixMilli(), "at", w.now().UnixMilli(), "ready", f.ready.UnixMilli()).Err())
	w.t.Logf("a fence is raised")
	return true
}

func (w *world) passToReady() bool {
	if w.fence == nil || !w.fence.raised || !w.fence.ready.After(w.now()) {
		return false
	}
	w.t.Logf("until the fence may go")
	w.advance(w.fence.ready.Sub(w.now()))
	return true
}

// readGap reads the records of the gap, by a read that is current.
func (w *world) readGap() bool {
	f := w.fence
	if f == nil || !f.raised || f.read || w.now().Before(f.ready) {
		return false
	}
	f.records = nil
	for text := range 2 {
		list, current := w.visible(text)
		if !current {
			return false
		}
		for _, r := range list {
			_, claimed, err := w.l.ClaimedBy(w.ctx, r.mdr)
			w.must(err)
			if !claimed && !r.at.Before(f.from) && !r.at.After(f.ready) {
				f.records = append(f.records, r)
			}
		}
	}
	f.read = true
	w.t.Logf("the gap is read: %d records are nobody's", len(f.records))
	return true
}

// lower gives the records of the gap to the messages that seem never posted, and what is
// left to those that may be asked for again. Messages whose posts Redis knows of
// are decided first, as always.
func (w *world) lower() bool {
	f := w.fence
	if f == nil || !f.read {
		return false
	}
	f.read = false
	orphans := map[ledger.Fingerprint][]ledger.Orphan{}
	for text := range 2 {
		free := slices.DeleteFunc(slices.Clone(f.records), func(r *modelRecord) bool { return r.job.text != text })
		queued, open := w.unfinished(text)
		if len(free) > 0 && open {
			w.t.Logf("the fence waits for the open messages of text %d", text)
			return true
		}
		for _, job := range queued {
			at := slices.IndexFunc(free, func(r *modelRecord) bool { return keyed(job.ID) || !r.at.Before(job.Created) })
			if at < 0 {
				continue
			}
			ok, err := w.l.ClaimQueued(w.ctx, job.ID, free[at].mdr)
			w.must(err)
			w.t.Logf("%s gets %s, which Redis had lost: %v", w.nameOf(job.ID), free[at].mdr[30:], ok)
			if !ok {
				return true // it has changed meanwhile, and is read anew
			}
			free = slices.Delete(free, at, at+1)
		}
		for _, r := range free {
			orphans[fingerprint(text)] = append(orphans[fingerprint(text)], ledger.Orphan{MDR: r.mdr})
			r.ruledOn = true
		}
	}
	done, err := w.l.LowerFence(w.ctx, f.id, orphans, time.Hour)
	w.must(err)
	w.t.Logf("the fence is lowered: %v; orphans %v", done, orphans)
	if done {
		w.fence = nil
	}
	return true
}

// unfinished are the messages of a text that are queued, the oldest first, and whether
// others are open.
func (w *world) unfinished(text int) (queued []ledger.Job, open bool) {
	for _, job := range w.jobs {
		got, known := w.find(job.new.ID)
		if known && job.text == text && got.State == ledger.Queued {
			queued = append(queued, got)
		}
	}
	unresolved, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	for _, job := range unresolved {
		open = open || w.textOf(job.ID) == text && !unheardOf(job)
	}
	slices.SortFunc(queued, func(a, b ledger.Job) int { return a.Created.Compare(b.Created) })
	return queued, open
}

func keyed(id ledger.ID) bool { return id.String()[14] == '5' }

// mend goes on with the handling of a loss.
func (w *world) mend() {
	w.raise()
	w.passToReady()
	w.readGap()
	w.lower()
}
