package campaign_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

func (r *rig) create(spec campaign.Spec) ledger.ID {
	r.t.Helper()
	spec = always(spec)
	created, err := r.Create(r.t.Context(), spec.ID(nil), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return created.ID
}

// upload gives rows in and returns the answers.
func (r *rig) upload(id ledger.ID, in io.Reader) ([]campaign.Answer, campaign.Totals, error) {
	r.t.Helper()
	var answers []campaign.Answer
	totals, err := r.Upload(r.t.Context(), id, in, campaign.Input{}, func(a campaign.Answer) error {
		answers = append(answers, a)
		return nil
	})
	return answers, totals, err
}

func TestEveryRowIsAnswered(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}, {{text}}", MaxSegments: 2})
	answers, totals, err := r.upload(id, strings.NewReader("phone;name;text\r\n"+
		"206 555 0101;Ann;hello\r\n"+
		"+1 (206) 555-0101;Bob;the same\r\n"+
		"12;Cid;no number\r\n"+
		"2065550102;;no name\r\n"+
		"2065550103;Dan;"+strings.Repeat("x", 400)+"\r\n"+
		"2065550104;Eve;\"two\r\nlines\"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []campaign.Answer{
		{Line: 2, Verdict: campaign.RowAccepted, Row: 1},
		{Line: 3, Verdict: campaign.RowDuplicate},
		{Line: 4, Verdict: campaign.RowInvalid, Problem: jobs.FieldError{Field: "phone", Code: jobs.CodeInvalid}},
		{Line: 5, Verdict: campaign.RowInvalid, Problem: jobs.FieldError{Field: "name", Code: jobs.CodeRequired}},
		{Line: 6, Verdict: campaign.RowInvalid, Problem: jobs.FieldError{Code: jobs.CodeTooLong}},
		{Line: 7, Verdict: campaign.RowAccepted, Row: 2},
	}
	for i := range answers {
		if p := &answers[i].Problem; p.Code != "" && p.Message == "" {
			t.Errorf("line %d: no word on what to do", answers[i].Line)
		}
		answers[i].Problem.Message = ""
	}
	if diff := cmp.Diff(want, answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if want := (campaign.Totals{Accepted: 2, Duplicate: 1, Invalid: 3, Segments: 2}); totals != want {
		t.Errorf("got %+v, want %+v", totals, want)
	}
	c := r.get(id)
	if want := (campaign.Skipped{Duplicate: 1, Invalid: 3}); c.Rows != 2 || c.Segments != 2 || c.Skipped != want || c.Estimate() != 8_000_000 {
		t.Errorf("got %+v", c.View())
	}
}

func TestOptedOutRowsAreBlocked(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	optOuts, err := suppress.New(r.rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := campaign.New(r.rdb, campaign.Options{OptOuts: optOuts})
	if err != nil {
		t.Fatal(err)
	}
	r.Store = store
	bob, err := flowroute.ParseE164("+12062000002")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := optOuts.Add(t.Context(), suppress.Entry{Recipient: bob, Source: suppress.SourcePerson}); err != nil {
		t.Fatal(err)
	}
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	answers, totals, err := r.upload(id, strings.NewReader(people(1, 3)))
	if err != nil || totals.Accepted != 2 || totals.Blocked != 1 {
		t.Fatalf("got %+v, %v", totals, err)
	}
	if a := answers[1]; a.Verdict != campaign.RowBlocked || a.Why == "" {
		t.Errorf("got %+v, want it blocked, with why", a)
	}
}

// A connection breaks, again and again, and the whole file is sent anew each time: in the
// end every recipient is there once, in the order of the file.
func TestBrokenUploads(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	file := people(1, 1100)
	answered := map[int]int{} // row of each line
	for _, cut := range []int{0, 30, 500, 9_000, 9_001, 20_000, len(file) - 3} {
		broken := io.MultiReader(strings.NewReader(file[:cut]), failing{})
		answers, _, err := r.upload(id, &trickle{r: broken, by: 4096})
		if !errors.Is(err, errBroken) {
			t.Fatalf("cut at %d: got %v, want the connection's error", cut, err)
		}
		for _, a := range answers {
			if row, known := answered[a.Line]; known && a.Verdict != campaign.RowDuplicate {
				t.Errorf("cut at %d: line %d was row %d, and is %+v now", cut, a.Line, row, a)
			} else if a.Verdict == campaign.RowAccepted {
				answered[a.Line] = a.Row
			}
		}
	}
	_, totals, err := r.upload(id, strings.NewReader(file))
	if err != nil || totals.Accepted+totals.Duplicate != 1100 || totals.Duplicate < 600 {
		t.Fatalf("whole: got %+v, %v", totals, err)
	}
	if c := r.get(id); c.Rows != 1100 || c.Segments != 1100 {
		t.Errorf("got %d rows with %d segments, want 1100", c.Rows, c.Segments)
	}
	if _, err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.feeding(0)
	r.until(id, "fed", func(c *campaign.Campaign) bool { return c.Fed() == 1100 })
	for line, row := range answered {
		job, err := r.led.Get(t.Context(), id.OfRow(uint32(row)))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := jobs.MessageOf(job)
		if want := fmt.Sprintf("Hi Name %d", line-1); err != nil || spec.Body != want || job.To.String() != fmt.Sprintf("+1206%07d", 2000000+line-1) {
			t.Fatalf("line %d, row %d: got %q to %s, %v, want %q", line, row, spec.Body, job.To, err, want)
		}
	}
}

var errBroken = errors.New("connection reset")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// trickle gives a little at a time.
type trickle struct {
	r  io.Reader
	by int
}

func (t *trickle) Read(b []byte) (int, error) { return t.r.Read(b[:min(t.by, len(b))]) }

// A client that waits for answers before it goes on gets them.
func TestAnswersComeWhileTheInputPauses(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	read, write := io.Pipe()
	answers := make(chan campaign.Answer)
	over := make(chan error, 1)
	go func() {
		_, err := r.Upload(t.Context(), id, read, campaign.Input{}, func(a campaign.Answer) error { answers <- a; return nil })
		over <- err
	}()
	if _, err := io.WriteString(write, "phone,name\n"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := fmt.Fprintf(write, "+1206%07d,Name\n", 2000000+i); err != nil {
			t.Fatal(err)
		}
		select {
		case a := <-answers:
			if a.Verdict != campaign.RowAccepted || a.Row != i+1 {
				t.Errorf("got %+v", a)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no answer")
		}
	}
	_ = write.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestOneUploadAtATime(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{UploadTTL: 3 * time.Second})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	read, write := io.Pipe()
	over := make(chan error, 1)
	first := make(chan struct{}, 100)
	go func() {
		_, err := r.Upload(t.Context(), id, read, campaign.Input{}, func(campaign.Answer) error { first <- struct{}{}; return nil })
		over <- err
	}()
	if _, err := io.WriteString(write, people(1, 5)); err != nil {
		t.Fatal(err)
	}
	<-first
	// It says nothing, and lives all the same.
	second, began := strings.NewReader(people(6, 9)), time.Now()
	if _, _, err := r.upload(id, second); !errors.Is(err, campaign.ErrBusy) || second.Len() < int(second.Size()) {
		t.Errorf("second upload: got %v, with %d of %d bytes left, want ErrBusy and nothing read", err, second.Len(), second.Size())
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("that took %v, want a third of the lease at most", took)
	}
	if _, err := r.Start(t.Context(), id); !errors.Is(err, campaign.ErrBusy) {
		t.Errorf("start: got %v, want ErrBusy", err)
	}
	// It is taken away from under the first one: what that has not written is not written.
	if _, err := r.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(write, "+12065550199,Late\n")
	_ = write.Close()
	if _, ok := errors.AsType[*campaign.StateError](<-over); !ok {
		t.Error("the first upload went on in a cancelled campaign")
	}
}

// A process dies in the middle of an upload, as far as Redis can see: the next upload waits
// until that is certain and goes on. When the process was only frozen and wakes up, what it
// still has on its hands is not written.
func TestUploadAfterOneThatDied(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	o := campaign.Options{UploadTTL: 1500 * time.Millisecond}
	r := setupOn(t, db.Client(), o)
	proxy := db.Proxy(t)
	frozen := setupOn(t, proxy.Client(), o)
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	read, write := io.Pipe()
	over := make(chan error, 1)
	answered := make(chan struct{}, 100)
	go func() {
		_, err := frozen.Upload(t.Context(), id, read, campaign.Input{}, func(campaign.Answer) error { answered <- struct{}{}; return nil })
		over <- err
	}()
	if _, err := io.WriteString(write, people(1, 5)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		<-answered
	}
	proxy.Stall()
	waited := 0
	totals, err := r.Upload(t.Context(), id, strings.NewReader(people(1, 9)), campaign.Input{Waiting: func() error { waited++; return nil }}, nil)
	if want := (campaign.Totals{Accepted: 4, Duplicate: 5, Known: 5, Segments: 4}); err != nil || totals != want || waited == 0 {
		t.Errorf("got %+v, %v after %d looks, want %+v", totals, err, waited, want)
	}
	proxy.Resume()
	_, _ = io.WriteString(write, "+12065550199,Late\n")
	_ = write.Close()
	if err := <-over; err == nil {
		t.Error("the upload that was given up has ended well")
	}
	if c := r.get(id); c.Rows != 9 {
		t.Errorf("got %d rows, want 9", c.Rows)
	}
}

// Who waits for one that died may be told to end.
func TestUploadThatIsToldNotToWait(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	if err := r.rdb.Set(t.Context(), "{flowroute}:cp:"+id.String()+":u", "one that died", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader(people(1, 2))
	if _, err := r.Upload(t.Context(), id, in, campaign.Input{Waiting: func() error { return errBroken }}, nil); !errors.Is(err, errBroken) || in.Len() < int(in.Size()) {
		t.Errorf("got %v, want its own error, and nothing read", err)
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	for name, in := range map[string]string{"no header": "2065550101,Ann\n", "no column for a field": "phone\n2065550101\n", "nothing": "", "utf-16": "\xff\xfep\x00"} {
		if _, _, err := r.upload(id, strings.NewReader(in)); err == nil {
			t.Errorf("%s: taken", name)
		} else if _, ok := errors.AsType[*intake.FileError](err); !ok {
			t.Errorf("%s: got %v, want a FileError", name, err)
		}
	}
	if _, err := r.Start(t.Context(), id); !errors.Is(err, campaign.ErrEmpty) {
		t.Errorf("start of nothing: got %v, want ErrEmpty", err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, people(1, 10))
	_ = zip.Close()
	if _, totals, err := r.upload(id, &packed); err != nil || totals.Accepted != 10 {
		t.Errorf("gzip: got %+v, %v", totals, err)
	}
	if _, err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.upload(id, strings.NewReader(people(11, 12))); err == nil {
		t.Error("rows were added to a campaign that runs")
	}
	if _, _, err := r.upload(ledger.NewCampaignID(), strings.NewReader(people(1, 2))); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("no such campaign: got %v", err)
	}
}

// Redis is full: what was answered stays, and the rest comes later.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	db := redistest.Own(t, redisembed.Options{})
	if db.Kind == redisembed.KindInProcess {
		t.Log("no redis-server on PATH: the imitation is never full")
		return
	}
	r := setupOn(t, db.Client(), campaign.Options{})
	id := r.create(campaign.Spec{Template: "Hi {{name}}"})
	file := people(1, 20_000)
	full := &atLine{r: strings.NewReader(file), at: len(file) / 2, do: func() {
		if err := r.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Error(err)
		}
	}}
	answers, totals, err := r.upload(id, full)
	if setErr := r.rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); setErr != nil {
		t.Fatal(setErr)
	}
	if err == nil || totals.Accepted == 0 || totals.Accepted == 20_000 || len(answers) != totals.Accepted {
		t.Fatalf("got %+v, %v, want it to stop in the middle", totals, err)
	}
	if c := r.get(id); c.Rows != totals.Accepted {
		t.Errorf("%d are there, %d were answered", c.Rows, totals.Accepted)
	}
	if _, totals, err := r.upload(id, strings.NewReader(file)); err != nil || totals.Accepted+totals.Duplicate != 20_000 {
		t.Errorf("again: got %+v, %v", totals, err)
	}
}

// atLine does something in the middle of a file.
type atLine struct {
	r    io.Reader
	at   int
	read int
	do   func()
}

func (a *atLine) Read(b []byte) (int, error) {
	n, err := a.r.Read(b[:min(len(b), 16<<10)])
	a.read += n
	if a.do != nil && a.read >= a.at {
		a.do()
		a.do = nil
	}
	return n, err
}

func TestSpecsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	now := time.Now()
	for field, spec := range map[string]campaign.Spec{
		"from":          {From: campaign.Senders{"12"}},
		"from[1]":       {From: campaign.Senders{ours, "x"}},
		"template":      {Template: "{{range .}}"},
		"start_at":      {StartAt: now.Add(-time.Hour)},
		"end_at":        {StartAt: now.Add(2 * time.Hour), EndAt: now.Add(time.Hour)},
		"rate":          {Rate: -1},
		"priority":      {Priority: jobs.PriorityOTP},
		"max_segments":  {MaxSegments: 99},
		"sending_hours": {SendingHours: "21:00-08:00"},
		"name":          {Name: strings.Repeat("n", 101)},
		"key":           {Key: "a\x00b"},
	} {
		spec = always(spec)
		_, err := r.Create(t.Context(), ledger.NewCampaignID(), spec)
		bad, ok := errors.AsType[*jobs.ValidationError](err)
		if !ok || len(bad.Problems) != 1 || bad.Problems[0].Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestCreateIsRepeatable(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	spec := always(campaign.Spec{Key: "k", StartAt: time.Now().Add(time.Minute)})
	first, err := r.Create(t.Context(), spec.ID(nil), spec)
	if err != nil || first.Duplicate || first.State != campaign.Draft {
		t.Fatalf("got %+v, %v", first, err)
	}
	spec.From = campaign.Senders{"(206) 555-0100"} // the same number
	if again, err := r.Create(t.Context(), spec.ID(nil), spec); err != nil || !again.Duplicate || again.ID != first.ID {
		t.Errorf("again: got %+v, %v", again, err)
	}
	spec.Template = "other"
	if _, err := r.Create(t.Context(), spec.ID(nil), spec); !errors.Is(err, campaign.ErrConflict) {
		t.Errorf("other content: got %v, want ErrConflict", err)
	}
	if a, b := spec.ID([]byte("file")), spec.ID(nil); a != b {
		t.Error("a key is not all that counts")
	}
	spec.Key = ""
	if a, b := spec.ID([]byte("file")), spec.ID([]byte("other")); a == b {
		t.Error("two files are one campaign")
	}
	if _, row, ok := first.ID.OfRow(7).Row(); !ok || row != 7 {
		t.Error("a row's id does not tell the row")
	}
}
