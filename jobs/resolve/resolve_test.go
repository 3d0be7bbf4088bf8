package resolve_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestLostAnswers(t *testing.T) {
	t.Parallel()
	const body = "It's \"urgent\" "
	for name, c := range map[string]struct {
		faults []string
		want   ledger.State
		reason ledger.Reason
		taken  int
	}{
		"cut":              {[]string{"accepted-then-cut"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"silence":          {[]string{"accepted-then-silence"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"500":              {[]string{"accepted-then-500"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"trimmed":          {[]string{"accepted-then-cut", "body-trimmed"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"quotes":           {[]string{"accepted-then-cut", "quotes-replaced"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"suffixed":         {[]string{"accepted-then-cut", "body-suffixed"}, ledger.Review, ledger.ReasonNearMatch, 1},
		"redacted":         {[]string{"accepted-then-cut", "body-redacted"}, ledger.Review, ledger.ReasonNearMatch, 1},
		"split":            {[]string{"accepted-then-cut", "split-records"}, ledger.Accepted, ledger.ReasonMatched, 1},
		"never came":       {[]string{"reset-before"}, ledger.Accepted, ledger.ReasonAbsent, 1},
		"500, not taken":   {[]string{"500-before"}, ledger.Accepted, ledger.ReasonAbsent, 1},
		"silent, no taken": {[]string{"silence-before"}, ledger.Accepted, ledger.ReasonAbsent, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			id := b.lost(c.faults, jobs.Message{Body: body})[0]
			b.chat()
			job := b.until(id, ledger.Accepted, ledger.Review)
			// On a busy machine the second post may get no answer either.
			gave := slices.ContainsFunc(job.History, func(change ledger.Change) bool { return change.Reason == c.reason })
			if job.State != c.want || !gave {
				t.Errorf("got %s (%s), want %s (%s); history %+v", job.State, job.Reason, c.want, c.reason, job.History)
			}
			if job.State == ledger.Review && (!json.Valid(job.Evidence) || len(job.Evidence) > 2048) {
				t.Errorf("evidence %q", job.Evidence)
			}
			b.wantTaken(body, c.taken)
		})
	}
}
