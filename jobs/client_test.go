package jobs_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	if _, err := jobs.NewClient(nil, jobs.Options{}); err == nil {
		t.Error("no redis client: got no error")
	}
	if _, err := jobs.NewClient(redistestClient(t), jobs.Options{Prefix: "no hash tag"}); err == nil {
		t.Error("bad prefix: got no error")
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon := time.Now().Add(time.Hour).Add(123 * time.Millisecond)
	tests := map[string]struct {
		change func(*jobs.Message)
		queue  string
		at     time.Time // of the nudge; zero: now
	}{
		"normal":      {func(m *jobs.Message) {}, ledger.QueueNormal, time.Time{}},
		"otp":         {func(m *jobs.Message) { m.Priority = jobs.PriorityOTP }, ledger.QueueOTP, time.Time{}},
		"bulk":        {func(m *jobs.Message) { m.Priority = jobs.PriorityBulk }, ledger.QueueBulk, time.Time{}},
		"later":       {func(m *jobs.Message) { m.SendAt = soon }, ledger.QueueNormal, soon},
		"in the past": {func(m *jobs.Message) { m.SendAt = time.Now().AddDate(0, 0, -3) }, ledger.QueueNormal, time.Time{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := hello()
			tt.change(&m)
			receipt, err := b.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			want := jobs.Receipt{ID: receipt.ID, State: ledger.Queued}
			if diff := cmp.Diff(want, receipt); diff != "" {
				t.Errorf("receipt (-want +got):\n%s", diff)
			}
			job := b.get(t, receipt.ID)
			if job.State != ledger.Queued || job.Queue != tt.queue || job.From != number(t, from) || job.To != number(t, to) {
				t.Errorf("job: got %+v", job)
			}
			if !job.Due.Equal(tt.at.Truncate(time.Millisecond)) && !(job.Due.IsZero() && tt.at.IsZero()) {
				t.Errorf("due: got %v, want %v", job.Due, tt.at)
			}
			if !job.Expires.After(time.Now().Add(4 * time.Minute)) {
				t.Errorf("expires: got %v, want in some minutes or a day", job.Expires)
			}
			task, err := b.inspector.GetTaskInfo(tt.queue, receipt.ID+".1")
			if err != nil {
				t.Fatal(err)
			}
			checkNudge(t, task, receipt.ID, tt.at)
		})
	}
}

func checkNudge(t *testing.T, task *asynq.TaskInfo, id string, at time.Time) {
	t.Helper()
	if got, want := string(task.Payload), fmt.Sprintf(`{"v":1,"job":%q,"gen":1}`, id); got != want {
		t.Errorf("payload: got %s, want %s", got, want)
	}
	if task.Type != "send-message" || task.MaxRetry < 1000 || task.Timeout != jobs.NudgeTimeout || task.Retention != 0 {
		t.Errorf("task: got %+v", task)
	}
	if at.IsZero() {
		if task.State != asynq.TaskStatePending {
			t.Errorf("state: got %v, want pending", task.State)
		}
		return
	}
	late := task.NextProcessAt.Sub(at)
	if task.State != asynq.TaskStateScheduled || late < 0 || late > time.Second {
		t.Errorf("scheduled: got %v, %v after it is due, want from 0 to 1 s", task.State, late)
	}
}

func TestKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keyed := func(change func(*jobs.Message)) jobs.Message {
		m := hello()
		m.Key, m.SendAt = "order-17", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		change(&m)
		return m
	}
	first, err := b.Send(t.Context(), keyed(func(*jobs.Message) {}))
	if err != nil || first.Duplicate || !first.Repeatable {
		t.Fatalf("first: got %+v, %v", first, err)
	}
	same := map[string]func(*jobs.Message){
		"same":                 func(m *jobs.Message) {},
		"number typed":         func(m *jobs.Message) { m.From = "206.555.0100" },
		"other zone":           func(m *jobs.Message) { m.SendAt = m.SendAt.In(time.FixedZone("", 3600)) },
		"is_mms said":          func(m *jobs.Message) { no := false; m.IsMMS = &no },
		"expires, lane, label": func(m *jobs.Message) { m.ExpiresAt, m.Priority, m.Campaign = time.Now().Add(time.Hour), "otp", "c" },
	}
	for name, change := range same {
		got, err := b.Send(t.Context(), keyed(change))
		if err != nil || got != (jobs.Receipt{ID: first.ID, State: ledger.Queued, Duplicate: true, Repeatable: true, KeyRetention: 30 * 24 * 3600}) {
			t.Errorf("%s: got %+v, %v, want the first job", name, got, err)
		}
	}
	yes := true
	other := map[string]func(*jobs.Message){
		"from":    func(m *jobs.Message) { m.From = "+12065550101" },
		"to":      func(m *jobs.Message) { m.To = "+12065550101" },
		"body":    func(m *jobs.Message) { m.Body += " " },
		"media":   func(m *jobs.Message) { m.MediaURLs = []string{"https://example.com/a"} },
		"is_mms":  func(m *jobs.Message) { m.IsMMS = &yes },
		"send_at": func(m *jobs.Message) { m.SendAt = m.SendAt.Add(time.Minute) },
	}
	for name, change := range other {
		got, err := b.Send(t.Context(), keyed(change))
		if !errors.Is(err, jobs.ErrConflict) || got.ID != first.ID {
			t.Errorf("other %s: got %+v, %v, want a conflict", name, got, err)
		}
	}
	if n := b.total(t); n != 1 {
		t.Errorf("jobs: got %d, want 1", n)
	}
	if n := len(b.nudges(t, ledger.QueueNormal)) + len(b.nudges(t, ledger.QueueOTP)); n != 1 {
		t.Errorf("nudges: got %d, want 1", n)
	}

	// A key belongs to a type of job.
	if got, err := b.Purchase(t.Context(), jobs.Purchase{Number: from, Key: "order-17"}); err != nil || got.Duplicate {
		t.Errorf("purchase with the same key: got %+v, %v", got, err)
	}
}

func TestDuplicateShowsTheState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := hello()
	m.Key = "k"
	first, err := b.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.inspector.DeleteTask(ledger.QueueNormal, first.ID+".1"); err != nil {
		t.Fatal(err)
	}
	// The first producer died between writing down and announcing: a repetition announces.
	if _, err := b.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if n := len(b.nudges(t, ledger.QueueNormal)); n != 1 {
		t.Errorf("nudges after a repetition: got %d, want 1", n)
	}
	if got, err := b.Cancel(t.Context(), first.ID); err != nil || !got.Cancelled {
		t.Fatalf("cancel: got %+v, %v", got, err)
	}
	got, err := b.Send(t.Context(), m)
	if err != nil || got.State != ledger.Cancelled || !got.Duplicate {
		t.Errorf("repetition of a cancelled one: got %+v, %v", got, err)
	}
}

func TestSendManyAnswersInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 1234
	messages := make([]jobs.Message, n)
	for i := range messages {
		messages[i] = hello()
		messages[i].Key = fmt.Sprint(i)
		switch i % 100 {
		case 13:
			messages[i].To = "nobody"
		case 14:
			messages[i].Key = fmt.Sprint(i - 2) // the same as the one before last
		case 15:
			messages[i].Key, messages[i].Body = fmt.Sprint(i-3), "other"
		}
	}
	receipts, errs := b.SendMany(t.Context(), messages)
	if len(receipts) != n || len(errs) != n {
		t.Fatalf("got %d receipts and %d errors, want %d", len(receipts), len(errs), n)
	}
	var taken int
	for i := range messages {
		switch i % 100 {
		case 13:
			if len(problemsOf(t, errs[i])) != 1 || receipts[i] != (jobs.Receipt{}) {
				t.Errorf("%d: got %+v, %v, want it refused", i, receipts[i], errs[i])
			}
		case 14:
			if errs[i] != nil || !receipts[i].Duplicate || receipts[i].ID != receipts[i-2].ID {
				t.Errorf("%d: got %+v, %v, want the job of %d", i, receipts[i], errs[i], i-2)
			}
		case 15:
			if !errors.Is(errs[i], jobs.ErrConflict) {
				t.Errorf("%d: got %v, want a conflict", i, errs[i])
			}
		default:
			taken++
			if errs[i] != nil || receipts[i].ID != ledger.KeyID(ledger.SendMessage, messages[i].Key).String() || receipts[i].Duplicate {
				t.Errorf("%d: got %+v, %v", i, receipts[i], errs[i])
			}
		}
	}
	if got := b.total(t); got != int64(taken) {
		t.Errorf("jobs: got %d, want %d", got, taken)
	}
	if got := len(b.nudges(t, ledger.QueueNormal)); got != taken {
		t.Errorf("nudges: got %d, want %d", got, taken)
	}
}

func TestSendAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages := make([]jobs.Message, 1100)
	for i := range messages {
		messages[i] = hello()
		messages[i].Key = fmt.Sprint(i)
	}
	messages[700].Body = ""
	var i int
	for receipt, err := range b.SendAll(t.Context(), slices.Values(messages)) {
		if want := ledger.KeyID(ledger.SendMessage, fmt.Sprint(i)).String(); i != 700 && (err != nil || receipt.ID != want) {
			t.Errorf("%d: got %+v, %v, want %s", i, receipt, err, want)
		}
		if i == 700 && len(problemsOf(t, err)) != 1 {
			t.Errorf("%d: got %v, want one problem", i, err)
		}
		i++
	}
	if i != len(messages) {
		t.Errorf("got %d results, want %d", i, len(messages))
	}

	// Who stops early takes no more from the source.
	var taken int
	source := func(yield func(jobs.Message) bool) {
		for {
			taken++
			if !yield(hello()) {
				return
			}
		}
	}
	for range b.SendAll(t.Context(), source) {
		break
	}
	if taken > 500 {
		t.Errorf("taken from the source: got %d, want at most 500", taken)
	}
}

func TestSendAllDoesNotHoldBackASlowSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	results := make(chan struct{}, 10)
	source := func(yield func(jobs.Message) bool) {
		yield(hello())
		tick := time.NewTimer(300 * time.Millisecond)
		<-tick.C
		yield(hello())
		select {
		case <-results:
		case <-time.After(10 * time.Second):
			t.Error("no result while the source was thinking")
		}
	}
	for _, err := range b.SendAll(t.Context(), source) {
		if err != nil {
			t.Error(err)
		}
		results <- struct{}{}
	}
}

func TestStartSync(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Second)
	first, err := b.StartSync(t.Context(), jobs.TypeSyncMDR, "cron@1", jobs.Sync{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.StartSync(t.Context(), jobs.TypeSyncMDR, "cron@1", jobs.Sync{Since: since}); err != nil || again.ID != first.ID || !again.Duplicate {
		t.Errorf("same tick: got %+v, %v", again, err)
	}
	if other, err := b.StartSync(t.Context(), jobs.TypeSyncNumbers, "cron@1", jobs.Sync{}); err != nil || other.Duplicate {
		t.Errorf("another sync: got %+v, %v", other, err)
	}
	job := b.get(t, first.ID)
	if got, err := jobs.SyncOf(job); err != nil || got.Since != since || job.Queue != ledger.QueueSync {
		t.Errorf("got %+v, %v in queue %s, want since %v", got, err, job.Queue, since)
	}
	if _, err := b.StartSync(t.Context(), jobs.TypeSendMessage, "k", jobs.Sync{}); err == nil {
		t.Error("a message as a sync: got no error")
	}
	_, err = b.StartSync(t.Context(), jobs.TypeSyncMDR, "", jobs.Sync{Since: time.Now().Add(time.Hour)})
	if diff := cmp.Diff([]problem{{"since", "invalid"}}, problemsOf(t, err)); diff != "" {
		t.Errorf("future (-want +got):\n%s", diff)
	}
	if n := len(b.nudges(t, ledger.QueueSync)); n != 2 {
		t.Errorf("nudges: got %d, want 2", n)
	}
}

func TestGetAndCancelOfNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{ledger.NewID().String(), "no-such-task"} {
		if _, err := b.Get(t.Context(), id); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("get %q: got %v, want ErrNotFound", id, err)
		}
		if _, err := b.Cancel(t.Context(), id); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("cancel %q: got %v, want ErrNotFound", id, err)
		}
		if _, err := b.Wait(t.Context(), id); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("wait for %q: got %v, want ErrNotFound", id, err)
		}
	}
	if _, err := b.Get(t.Context(), ""); err == nil || errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("get of no id: got %v", err)
	}
}

func TestNudgeSerials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := ledger.NewID()
	nudge := func(serial int) error {
		return b.Nudge(t.Context(), id, ledger.SendMessage, ledger.QueueBulk, 3, time.Time{}, serial)
	}
	for range 2 {
		if err := nudge(0); err != nil {
			t.Errorf("first nudge of a generation: got %v, want none", err)
		}
	}
	if err := nudge(1); err != nil {
		t.Errorf("the sweep's: got %v, want none", err)
	}
	if err := nudge(1); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("the sweep's again: got %v, want a conflict", err)
	}
	var ids []string
	for _, task := range b.nudges(t, ledger.QueueBulk) {
		ids = append(ids, task.ID)
		got, err := jobs.ParseTask(ledger.SendMessage, task.ID, task.Queue, task.Payload)
		if want := (jobs.Task{ID: id, Nudge: true, Generation: 3}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", task.ID, got, err, want)
		}
	}
	slices.Sort(ids)
	if diff := cmp.Diff([]string{id.String() + ".3", id.String() + ".3.1"}, ids); diff != "" {
		t.Errorf("task ids (-want +got):\n%s", diff)
	}
}
