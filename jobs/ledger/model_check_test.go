package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
)

// dump reads the ledger's keys; a key's TTL is with it, where it has one.
var dump = redis.NewScript(`
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local list
  if kind == 'hash' then list = redis.call('HGETALL', key)
  elseif kind == 'set' then list = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then list = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'string' then list = {redis.call('GET', key)}
  elseif kind == 'stream' then list = {tostring(redis.call('XLEN', key))} end
  out[#out + 1] = {string.sub(key, #ARGV[1] + 1), kind, redis.call('PTTL', key) >= 0 and 1 or 0, list}
end
return out`)

// contents is the ledger as it is in Redis: keys without their prefix.
type contents struct {
	hashes map[string]map[string]string
	sets   map[string][]string // sorted sets too
	other  map[string]string
	lapse  map[string]bool // keys with a TTL
}

func (w *world) contents() contents {
	c := contents{hashes: map[string]map[string]string{}, sets: map[string][]string{}, other: map[string]string{}, lapse: map[string]bool{}}
	raw, err := dump.Run(w.ctx, w.rdb, nil, ledger.DefaultPrefix).Slice()
	w.must(err)
	for _, item := range raw {
		parts := item.([]any)
		key, kind := parts[0].(string), parts[1].(string)
		c.lapse[key] = parts[2].(int64) == 1
		var list []string
		for _, value := range parts[3].([]any) {
			list = append(list, fmt.Sprint(value))
		}
		switch kind {
		case "hash":
			c.hashes[key] = map[string]string{}
			for i := 0; i+1 < len(list); i += 2 {
				c.hashes[key][list[i]] = list[i+1]
			}
		case "set":
			slices.Sort(list)
			c.sets[key] = list
		case "zset":
			for i := 0; i+1 < len(list); i += 2 {
				c.sets[key] = append(c.sets[key], list[i])
			}
			c.other[key] = strings.Join(list, " ")
		default:
			if strings.HasPrefix(key, "j:") {
				c.hashes[key], err = record.Unpack(list[0])
				w.must(err)
				continue
			}
			c.other[key] = strings.Join(list, " ")
		}
	}
	return c
}

// unchanged fails when do changes anything.
func (w *world) unchanged(what string, do func()) {
	before := w.contents()
	do()
	after := w.contents()
	if what == "the resolution again" || what == "the receipt again" {
		// They may tell once more what they told.
		delete(before.other, "events")
		delete(after.other, "events")
	}
	if diff := gocmp.Diff(before, after, gocmp.AllowUnexported(contents{})); diff != "" {
		w.t.Fatalf("%s changed the ledger:\n%s", what, diff)
	}
}

// check is what must hold after each step.
func (w *world) check(after string) {
	c := w.contents()
	ids := make([]ledger.ID, len(w.jobs))
	for i, job := range w.jobs {
		ids[i] = job.new.ID
	}
	jobs, errs := w.l.GetMany(w.ctx, ids)
	counts := map[string]int{}
	want := map[string][]string{}
	owners := map[string]string{}
	for i, job := range jobs {
		if !w.found(errs[i]) {
			continue
		}
		name, text := w.jobs[i].name, job.ID.String()
		hot := c.hashes["j:"+text]
		state := stateByte(c, job)
		counts["m"+state]++
		// One that a person has ruled on lapses.
		pending := hot != nil && state == "a" && hot["ap"] == "1" && hot["m"] == "" && !c.lapse["j:"+text]
		over := job.State.Final() && !pending
		if state == "s" || state == "u" || pending {
			want["open"] = append(want["open"], text)
		}
		if state == "r" {
			want["review"] = append(want["review"], text)
		}
		if hot["fp"] != "" && !over {
			want["g:"+hot["fp"]] = append(want["g:"+hot["fp"]], text)
		}
		if !over && (hot == nil || hot["p"] == "" || c.lapse["j:"+text]) {
			w.t.Fatalf("after %s: %s is %s, and its record or payload is not kept: %v", after, name, job.State, hot)
		}
		for _, mdr := range job.MDRs {
			if other := owners[mdr]; other != "" {
				w.t.Fatalf("after %s: %s is %s's and %s's", after, mdr, other, name)
			}
			owners[mdr] = name
		}
		certain := job.State.Succeeded() || job.State == ledger.Undelivered || job.State == ledger.Sending
		if w.proven[job.ID] && !certain {
			w.t.Fatalf("after %s: %s was proven accepted, and is %s", after, name, job.State)
		}
	}
	w.compare(after, c, want, counts)
}

// compare finds ghosts and what is missing in sets, and counters that are wrong.
func (w *world) compare(after string, c contents, want map[string][]string, counts map[string]int) {
	for key := range c.sets {
		if _, ok := want[key]; !ok && (key == "open" || key == "review" || strings.HasPrefix(key, "g:")) {
			want[key] = nil
		}
	}
	for key, list := range want {
		got := slices.Sorted(slices.Values(c.sets[key]))
		slices.Sort(list)
		if !slices.Equal(got, list) {
			w.t.Fatalf("after %s: %s holds %v, want %v", after, key, w.names(got), w.names(list))
		}
	}
	got := map[string]int{}
	for field, text := range c.hashes["n"] {
		var n int
		if _, err := fmt.Sscan(text, &n); err == nil && n != 0 {
			got[field] = n
		}
	}
	if !maps.Equal(got, counts) {
		w.t.Fatalf("after %s: the counters say %v, want %v", after, got, counts)
	}
}

// unnamed sends a job to a person of which Redis has lost what its record looks like.
func (w *world) unnamed(job ledger.Job) {
	ok, _, err := w.l.Adopt(w.ctx, job.ID, job.Attempts, "unnamed")
	w.must(err)
	if ok {
		_, err = w.l.Settle(w.ctx, ledger.Settlement{ID: job.ID, Token: "unnamed", To: ledger.Review, Reason: ledger.ReasonUnresolved})
		w.must(err)
	}
}

// stateByte is the byte of a job's state in Redis.
func stateByte(c contents, job ledger.Job) string {
	if s := c.hashes["j:"+job.ID.String()]["s"]; s != "" {
		return s
	}
	return map[ledger.State]string{
		ledger.Accepted: "a", ledger.Delivered: "d", ledger.Undelivered: "n", ledger.Failed: "f",
		ledger.Expired: "x", ledger.Cancelled: "c", ledger.Done: "o", ledger.Blocked: "b",
	}[job.State]
}

func (w *world) names(ids []string) []string {
	names := make([]string, len(ids))
	for i, text := range ids {
		names[i] = text
		if id, err := ledger.ParseID(text); err == nil {
			names[i] = w.nameOf(id)
		}
	}
	return names
}

// rest heals everything and waits until nothing moves any more: then nothing is open,
// and as many jobs are accepted as messages were.
func (w *world) rest() {
	w.t.Logf("all is well again")
	w.choices = nil
	w.lagging = true
	w.catchUp()
	w.readers = [2]*reader{}
	for _, f := range w.flights {
		f.alive = false
	}
	for range 40 {
		w.advance(longest)
		w.mend()
		if !w.round() && w.fence == nil {
			w.atRest()
			return
		}
		w.check("a round")
	}
	w.t.Fatalf("no rest: %v", w.states())
}

// round does what is to be done for each job, and reports whether there was anything.
func (w *world) round() (busy bool) {
	each := func(state ledger.State, do func(*modelJob, ledger.Job)) {
		for _, job := range w.jobs {
			if got, known := w.find(job.new.ID); known && got.State == state {
				busy = true
				do(job, got)
			}
		}
	}
	each(ledger.Sending, func(job *modelJob, _ ledger.Job) {
		_, _, err := w.l.Overdue(w.ctx, job.new.ID)
		w.must(err)
	})
	each(ledger.Review, func(_ *modelJob, got ledger.Job) { w.ruleOn(got) })
	open, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	for _, job := range open {
		if unheardOf(job) {
			continue
		}
		busy = true
		if job.State == ledger.Unknown && job.Fingerprint.IsZero() {
			w.unnamed(job)
			continue
		}
		r := w.reader(w.textOf(job.ID))
		w.readFor(r)
		w.resolve(r, true, false)
	}
	each(ledger.Queued, func(job *modelJob, _ ledger.Job) {
		if w.beginAs(job, "w9").Decision == ledger.Go {
			f := w.flights[len(w.flights)-1]
			w.mayPost(f)
			f.posted = true
			w.land(f, fateAccepted)
			w.settleFlight(f, 0)
		}
	})
	return busy
}

// unheardOf: it was accepted, Redis has lost its intent, and an answer came later that
// had no id. It stays as it is.
func unheardOf(job ledger.Job) bool {
	return job.State == ledger.Accepted && job.Fingerprint.IsZero()
}

func (w *world) states() (list []string) {
	for _, job := range w.jobs {
		got, known := w.find(job.new.ID)
		list = append(list, fmt.Sprintf("%s text %d: %v %s %v", job.name, job.text, known, got.State, got.MDRs))
	}
	return list
}

func (w *world) atRest() {
	for text := range 2 {
		accepted, lost := 0, 0
		for _, job := range w.jobs {
			got, known := w.find(job.new.ID)
			switch {
			case job.text != text:
			case got.State.Succeeded() || got.State == ledger.Undelivered:
				accepted++
			case !known || w.lostTrack(job):
				lost++
			}
		}
		if n := len(w.recordsOf(text)); n < accepted || n > accepted+lost {
			w.t.Fatalf("at rest: text %d was accepted %d times; %d jobs say so, %d were lost: %v", text, n, accepted, lost, w.states())
		}
	}
	for _, job := range w.jobs {
		got, _ := w.find(job.new.ID)
		for _, mdr := range got.MDRs {
			if owner, claimed, err := w.l.ClaimedBy(w.ctx, mdr); err != nil || !claimed || owner != job.new.ID {
				w.t.Fatalf("at rest: %s has %s, which is claimed by %s %v %v", job.name, mdr, w.nameOf(owner), claimed, err)
			}
		}
	}
}
