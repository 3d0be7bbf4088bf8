package resolve

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	gapFrom = "12065550100"
	gapTo   = "12065550177"
)

func textPrint(body string) ledger.Fingerprint { return jobs.Fingerprint(gapFrom, gapTo, body, false) }

func lostRec(mdr string, second int, body string, change ...func(*lostRecord)) lostRecord {
	r := lostRecord{row: row{mdr: mdr, fingerprint: textPrint(body), text: jobs.NormalBody(body)}, of: pair{gapFrom, gapTo}, at: at(second)}
	for _, c := range change {
		c(&r)
	}
	return r
}

func queuedJob(name byte, created int, body string, change ...func(*waiting)) waiting {
	w := waiting{id: id(name), fingerprint: textPrint(body), of: pair{gapFrom, gapTo}, text: jobs.NormalBody(body), created: at(created)}
	for _, c := range change {
		c(&w)
	}
	return w
}

func TestRegain(t *testing.T) {
	t.Parallel()
	keyed := func(w *waiting) { w.keyed = true }
	refused := func(r *lostRecord) { r.refused = true }
	mms := func(r *lostRecord) { r.mms = true }
	elsewhere := func(r *lostRecord) { r.of.to = "12065550199" }
	for name, c := range map[string]struct {
		records []lostRecord
		queued  []waiting
		claims  []ledger.Claim
		holds   string // names of jobs
		orphans string // ids of records, doubtful ones with a question mark
	}{
		"nothing":               {},
		"posted":                {records: []lostRecord{lostRec("r1", 1, "hello")}, queued: []waiting{queuedJob('a', 0, "hello")}, claims: []ledger.Claim{gets('a', "r1")}},
		"not posted":            {queued: []waiting{queuedJob('a', 0, "hello")}},
		"before it was created": {records: []lostRecord{lostRec("r1", -61, "hello")}, queued: []waiting{queuedJob('a', 0, "hello")}, orphans: "r1"},
		"created again":         {records: []lostRecord{lostRec("r1", -600, "hello")}, queued: []waiting{queuedJob('a', 0, "hello", keyed)}, claims: []ledger.Claim{gets('a', "r1")}},
		"job lost as well":      {records: []lostRecord{lostRec("r1", 1, "hello")}, orphans: "r1"},
		"one of two twins": {records: []lostRecord{lostRec("r1", 20, "hello")}, queued: []waiting{queuedJob('b', 10, "hello"), queuedJob('a', 0, "hello")},
			claims: []ledger.Claim{gets('a', "r1")}},
		"text with more":     {records: []lostRecord{lostRec("r1", 1, "hello Reply STOP to opt out")}, queued: []waiting{queuedJob('a', 0, "hello")}, holds: "a", orphans: "r1"},
		"no text":            {records: []lostRecord{lostRec("r1", 1, "")}, queued: []waiting{queuedJob('a', 0, "hello")}, holds: "a", orphans: "r1"},
		"changed within":     {records: []lostRecord{lostRec("r1", 1, "Your link is https://x.io/1")}, queued: []waiting{queuedJob('a', 0, "Your link is https://example.com/2")}, holds: "a", orphans: "r1"},
		"quite another text": {records: []lostRecord{lostRec("r1", 1, "See you at noon")}, queued: []waiting{queuedJob('a', 0, "hello")}, orphans: "r1"},
		"an MMS, of one":     {records: []lostRecord{lostRec("r1", 1, "hello", mms)}, queued: []waiting{queuedJob('a', 0, "hello")}, holds: "a", orphans: "r1?"},
		"an MMS, of two": {records: []lostRecord{lostRec("r1", 1, "hello", mms), lostRec("r2", 1, "hello", mms)},
			queued: []waiting{queuedJob('a', 0, "hello"), queuedJob('b', 0, "hello")}, holds: "a b", orphans: "r1? r2?"},
		"an MMS whose job is lost": {records: []lostRecord{lostRec("r1", 1, "hello", mms)}, orphans: "r1?"},
		"refused":                  {records: []lostRecord{lostRec("r1", 1, "hello", refused)}, queued: []waiting{queuedJob('a', 0, "hello")}, holds: "a"},
		"refused, another text":    {records: []lostRecord{lostRec("r1", 1, "See you at noon", refused)}, queued: []waiting{queuedJob('a', 0, "hello")}},
		"near, to somebody else":   {records: []lostRecord{lostRec("r1", 1, "hello you", elsewhere)}, queued: []waiting{queuedJob('a', 0, "hello")}, orphans: "r1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := regain(c.records, c.queued, ask().read.margin)
			if diff := cmp.Diff(c.claims, got.claims); diff != "" {
				t.Errorf("claims (-want +got)\n%s", diff)
			}
			var holds, orphans []string
			for _, h := range got.holds {
				holds = append(holds, string(h.id[15]))
			}
			for _, list := range got.orphans {
				for _, o := range list {
					orphans = append(orphans, o.MDR+map[bool]string{true: "?"}[o.Doubtful])
				}
			}
			slices.Sort(orphans)
			if h, o := strings.Join(holds, " "), strings.Join(orphans, " "); h != c.holds || o != c.orphans {
				t.Errorf("got held %q, orphans %q, want %q, %q", h, o, c.holds, c.orphans)
			}
		})
	}
}
