package jobs

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Sync asks for one run of a sync. The zero value goes on where the last one
// ended.
//
// With a key, Since is its content.
type Sync struct {
	// Since goes back to that time.
	Since time.Time `json:"since,omitzero"`
}

// SyncOf reads what a job of type [TypeSyncMDR], [TypeSyncNumbers] or
// [TypeReconcile] asks for. Errors: as [MessageOf].
func SyncOf(job ledger.Job) (Sync, error) {
	var s Sync
	want := job.Type
	if !isSync(want) {
		want = ledger.SyncMDR
	}
	return s, unpack(job, want, &s)
}

func (s *Sync) fields(key *string) map[string]any {
	return map[string]any{"since": &s.Since, "key": key}
}

func (s Sync) plan(d *door, t ledger.Type, key string) ledger.NewJob {
	job := ledger.NewJob{Type: t, Queue: ledger.QueueSync}
	if s.Since.After(d.now) {
		d.refuse("since", CodeInvalid, "is in the future: give a time that is over")
	}
	d.name("key", key, maxKey)
	c := newContent(t)
	c.addTime("since", s.Since)
	job.Content = c.sum()
	job.Payload = pack(s)
	return job
}

func isSync(t ledger.Type) bool {
	return t == ledger.SyncMDR || t == ledger.SyncNumbers || t == ledger.Reconcile
}
