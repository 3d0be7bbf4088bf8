package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

// truth is what a test knows by itself of what it did.
type truth struct {
	class  map[string]reconcile.Class   // by record
	issues map[string][]reconcile.Issue // by record
	job    map[string]ledger.ID         // by record
	second map[string]bool              // a further record of its job
	bare   map[ledger.ID]bool           // jobs without a record
}

func newTruth() *truth {
	return &truth{map[string]reconcile.Class{}, map[string][]reconcile.Issue{}, map[string]ledger.ID{}, map[string]bool{}, map[ledger.ID]bool{}}
}

func (w *truth) ours(record string, job ledger.ID, issues ...reconcile.Issue) {
	w.class[record], w.job[record] = reconcile.Matched, job
	if len(issues) > 0 {
		w.class[record], w.issues[record] = reconcile.Differing, issues
	}
}

// expect compares a report and its lists with what the account really has.
func (w *truth) expect(r *rig, report reconcile.Report, items []reconcile.Item) {
	r.t.Helper()
	var want reconcile.Totals
	days, campaigns, codes, issues := map[string]reconcile.Row{}, map[string]reconcile.Row{}, map[string]reconcile.Row{}, map[reconcile.Issue]int64{}
	var inbound reconcile.Figures
	add := func(rows map[string]reconcile.Row, key string, c reconcile.Class, money flowroute.Money) {
		row := rows[key]
		row.Key, row.Money = key, row.Money+money
		switch c {
		case reconcile.Matched:
			row.Matched++
		case reconcile.Differing:
			row.Differing++
		case reconcile.WithoutJob:
			row.WithoutJob++
		case reconcile.WithoutRecord:
			row.WithoutRecord++
		}
		rows[key] = row
	}
	campaignOf := func(id ledger.ID) string {
		if c, _, ok := id.Row(); ok {
			return c.String()
		}
		return ""
	}
	var wantItems []string
	for record := range r.Records() {
		money := flowroute.Money(record.Nanodollars)
		if record.Timestamp.Before(report.Window.Since) || !record.Timestamp.Before(report.Window.Until) {
			continue
		}
		if record.Direction == "inbound" {
			inbound.Records, inbound.Money = inbound.Records+1, inbound.Money+money
			continue
		}
		class, known := w.class[record.ID]
		if !known {
			class = reconcile.WithoutJob
		}
		f := want.Of(class)
		f.Records, f.Money = f.Records+1, f.Money+money
		if class != reconcile.WithoutJob && !w.second[record.ID] {
			f.Messages++
		}
		for _, issue := range w.issues[record.ID] {
			issues[issue]++
		}
		add(days, record.Timestamp.Format(time.DateOnly), class, money)
		add(campaigns, campaignOf(w.job[record.ID]), class, money)
		add(codes, strconv.Itoa(record.Code), class, money)
		wantItems = append(wantItems, fmt.Sprint(class, record.ID, w.job[record.ID], w.issues[record.ID]))
	}
	for id := range w.bare {
		want.WithoutRecord.Messages++
		add(campaigns, campaignOf(id), reconcile.WithoutRecord, 0)
		add(days, r.began.Format(time.DateOnly), reconcile.WithoutRecord, 0)
		wantItems = append(wantItems, fmt.Sprint(reconcile.WithoutRecord, "", id, []reconcile.Issue(nil)))
	}
	var gotItems []string
	for _, i := range items {
		if i.Class == reconcile.WithoutRecord {
			i.MDR = ""
		}
		gotItems = append(gotItems, fmt.Sprint(i.Class, i.MDR, i.Job, i.Issues))
	}
	slices.Sort(wantItems)
	slices.Sort(gotItems)
	same(r.t, "totals", report.Totals, want)
	same(r.t, "issues", report.Issues, issues)
	same(r.t, "inbound", report.Inbound, inbound)
	same(r.t, "campaigns", rows(report.Campaigns), campaigns)
	same(r.t, "codes", rows(report.Codes), codes)
	if r.began.Format(time.DateOnly) == time.Now().UTC().Format(time.DateOnly) { // else midnight came in between
		same(r.t, "days", rows(report.Days), days)
	}
	same(r.t, "items", gotItems, wantItems)
}

func rows(list []reconcile.Row) map[string]reconcile.Row {
	byKey := map[string]reconcile.Row{}
	for _, row := range list {
		row.Name = ""
		byKey[row.Key] = row
	}
	return byKey
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// mixed makes a day of everything.
func mixed(r *rig, n int) *truth {
	w := newTruth()
	campaign, row := ledger.NewCampaignID(), uint32(0)
	id := func() ledger.ID {
		if r.IntN(2) == 0 {
			row++
			return campaign.OfRow(row)
		}
		return ledger.NewID()
	}
	for range n {
		job, to := id(), r.recipient()
		switch r.IntN(16) {
		case 0: // the carrier refuses
			w.ours(r.send(job, undeliverable[r.IntN(2)], "hello"), job)
		case 1: // the answer is lost, and nobody found out yet
			r.create(job, to)
			r.FailNext("accepted-then-cut", 1)
			r.post(to, "lost")
			r.settle(job, ledger.Unknown, "")
			w.bare[job] = true
		case 2: // the answer is lost, and a receipt proves it
			r.create(job, to)
			r.FailNext("accepted-then-cut", 1)
			r.post(to, "lost and found")
			r.settle(job, ledger.Unknown, "")
			if _, err := r.led.Prove(r.t.Context(), job, 1, r.last()); err != nil {
				r.t.Fatal(err)
			}
			w.ours(r.last(), job)
		case 3: // nothing arrived there
			r.create(job, to)
			r.FailNext("reset-before", 1)
			r.post(to, "gone")
			r.settle(job, ledger.Unknown, "")
			w.bare[job] = true
		case 4: // accepted, and the record never came
			r.create(job, to)
			r.settle(job, ledger.Accepted, fmt.Sprintf("mdr2-%016x%016x", r.Uint64(), r.Uint64()))
			w.bare[job] = true
		case 5: // refused: no record is expected
			r.create(job, to)
			r.settle(job, ledger.Failed, "")
		case 6: // somebody else's
			r.plant(flowroutetest.Record{Code: []int{1003, 1004, 1116}[r.IntN(3)]})
		case 7:
			r.plant(flowroutetest.Record{Direction: "inbound", From: to, To: ours})
		case 8: // delivered here, failed there
			record := fmt.Sprintf("mdr2-%016x%016x", r.Uint64(), r.Uint64())
			r.create(job, to)
			r.settle(job, ledger.Accepted, record)
			if _, err := r.led.Refine(r.t.Context(), []ledger.Receipt{{MDR: record, Delivered: true}}); err != nil {
				r.t.Fatal(err)
			}
			r.plant(flowroutetest.Record{ID: record, To: to, Code: 1005})
			w.ours(record, job, reconcile.IssueState)
		case 9: // never an end
			w.ours(r.claimed(job, flowroutetest.Record{Code: 1003}), job)
		case 10: // split into several
			r.FailNext("split-records", 1)
			record := r.send(job, to, text(3))
			split := r.Truth().Messages[len(r.Truth().Messages)-1].MDRIDs
			w.ours(record, job)
			for _, other := range split {
				if other != record {
					if _, err := r.led.Prove(r.t.Context(), job, 1, other); err != nil {
						r.t.Fatal(err)
					}
					w.ours(other, job)
					w.second[other] = true
				}
			}
		default:
			w.ours(r.send(job, to, text(1+r.IntN(4))), job)
		}
	}
	for i := range 3 { // charged for three segments, and an odd price
		job := id()
		w.ours(r.claimed(job, flowroutetest.Record{Body: "short", Nanodollars: int64(2+i) * 4_000_000}), job, reconcile.IssueSegments)
		job = id()
		w.ours(r.claimed(job, flowroutetest.Record{Body: text(2), Nanodollars: 4_000_000}), job, reconcile.IssueSegments)
		job = id()
		w.ours(r.claimed(job, flowroutetest.Record{Nanodollars: 5_500_000 + int64(i)}), job, reconcile.IssuePrice)
	}
	return w
}

func TestMixedDay(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]int{"at once": 0, "in parts": 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, func(o *reconcile.Options) { o.Held = held })
			w := mixed(r, 120)
			r.later(7 * time.Hour)
			report, items := r.run(r.window())
			w.expect(r, report, items)
			if !report.Complete || len(report.Notes) > 0 {
				t.Errorf("got complete %v and notes %q, want a complete report", report.Complete, report.Notes)
			}
		})
	}
}

// What is not synced yet, or may come late, counts as waiting, and comes to its class
// once it is there; the report says what it was before.
func TestRecordsLate(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := newTruth()
	for range 20 {
		job := ledger.NewID()
		w.ours(r.send(job, r.recipient(), "hello"), job)
	}
	late := newTruth()
	for range 10 {
		job := ledger.NewID()
		late.ours(r.claimed(job, flowroutetest.Record{Lag: 3 * time.Hour}), job)
	}
	never := r.create(ledger.NewID(), r.recipient())
	r.settle(never, ledger.Unknown, "")

	report, _ := r.run(r.window())
	if report.Complete || report.Waiting.Messages != 31 || report.WithoutRecord.Messages != 0 {
		t.Errorf("before any sync: got %+v, complete %v, want 31 waiting", report.Totals, report.Complete)
	}
	r.later(time.Minute)
	report, _ = r.run(r.window())
	if report.Complete || report.Waiting.Messages != 11 || report.Matched.Records != 20 || report.WithoutRecord.Messages != 0 {
		t.Errorf("after a first sync: got %+v, complete %v, want 11 waiting, 20 matched", report.Totals, report.Complete)
	}
	r.later(4 * time.Hour)
	report, _ = r.run(r.window())
	if report.Complete || report.WithoutRecord.Messages != 0 {
		t.Errorf("before late rows were waited for: got %+v, complete %v", report.Totals, report.Complete)
	}
	r.later(3 * time.Hour)
	report, items := r.run(r.window())
	for record, job := range late.job {
		w.ours(record, job)
	}
	w.bare[never] = true
	w.expect(r, report, items)
	if !report.Complete || report.Before == nil || !report.Moved() {
		t.Errorf("got complete %v, before %+v", report.Complete, report.Before)
	}
	same(t, "what it was before a sync", report.Before.WithoutRecord, reconcile.Figures{})
	kept, err := r.reconciler().Report(t.Context(), r.window())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the report that is kept", kept, report)
	if again, _ := r.run(r.window()); again.Moved() {
		t.Errorf("nothing has changed: got before %+v, now %+v", again.Before.Totals, again.Totals)
	}
	if list, err := r.reconciler().Reports(t.Context(), 10); err != nil || len(list) != 1 {
		t.Errorf("got %d reports and %v, want one window", len(list), err)
	}
}

// An account with another price has no differences for it.
func TestOtherPrice(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := newTruth()
	for range 30 {
		job := ledger.NewID()
		w.ours(r.claimed(job, flowroutetest.Record{Nanodollars: 7_500_000}), job)
	}
	for range 12 { // another carrier's
		job := ledger.NewID()
		w.ours(r.claimed(job, flowroutetest.Record{Body: text(2), Nanodollars: 2 * 9_100_000}), job)
	}
	odd := ledger.NewID()
	w.ours(r.claimed(odd, flowroutetest.Record{Nanodollars: 3 * 7_500_000}), odd, reconcile.IssueSegments)
	r.later(7 * time.Hour)
	report, items := r.run(r.window())
	w.expect(r, report, items)
	same(t, "prices", report.Prices, []reconcile.Price{
		{Kind: "sms longcode", Price: 7_500_000, Records: 30, Usual: true},
		{Kind: "sms longcode", Price: 9_100_000, Records: 12, Usual: true},
		{Kind: "sms longcode", Price: 22_500_000, Records: 1},
	})
}

// A record that nobody has claimed may be that of a message whose answer was lost.
func TestPerhaps(t *testing.T) {
	t.Parallel()
	r := setup(t)
	to := r.recipient()
	job := r.create(ledger.NewID(), to)
	r.FailNext("accepted-then-cut", 1)
	r.post(to, "lost")
	r.settle(job, ledger.Unknown, "")
	r.plant(flowroutetest.Record{To: "+12015559999"})
	r.later(7 * time.Hour)
	_, items := r.run(r.window())
	found := 0
	for _, item := range items {
		if item.Class == reconcile.WithoutJob && item.Perhaps == job && "+"+item.To == to {
			found++
		}
	}
	if found != 1 || len(items) != 3 {
		t.Errorf("got %+v, want the message, its record, and another's", items)
	}
}

// Claims outlive jobs: a record of a message that is not kept any more is still ours. And
// where claims may have lapsed nothing is told.
func TestPastRetention(t *testing.T) {
	t.Parallel()
	r := setup(t)
	job := ledger.NewID()
	record := r.send(job, r.recipient(), "hello")
	r.plant(flowroutetest.Record{})
	for _, key := range r.rdb.Keys(t.Context(), "{flowroute}:d:*").Val() {
		r.rdb.Del(t.Context(), key)
	}
	r.later(7 * time.Hour)
	report, items := r.run(r.window())
	if report.Lapsed != 1 || report.Matched.Records != 1 || report.WithoutJob.Records != 1 || report.Matched.Messages != 0 {
		t.Errorf("got %+v, lapsed %d", report.Totals, report.Lapsed)
	}
	if i := slices.IndexFunc(items, func(i reconcile.Item) bool { return i.MDR == record }); i < 0 || items[i].Job != job || items[i].State != "" {
		t.Errorf("got %+v, want the claim's job", items)
	}
	r.mu.Lock()
	r.ahead += 40 * 24 * time.Hour
	r.mu.Unlock()
	report, _ = r.run(r.window())
	if report.NotTold.Records != 1 || report.WithoutJob.Records != 0 || report.Complete {
		t.Errorf("after claims may have lapsed: got %+v, complete %v", report.Totals, report.Complete)
	}
	if !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, "not told") }) {
		t.Errorf("got notes %q", report.Notes)
	}
}

// Messages that were posted before and after the window are not of it, nor is a message
// whose record is.
func TestWindowEnds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	job := ledger.NewID()
	r.claimed(job, flowroutetest.Record{Timestamp: r.began.Add(-5 * time.Minute)})
	r.later(7 * time.Hour)
	before, _ := r.run(reconcile.Window{Since: r.began.Add(-20 * time.Minute), Until: r.began.Add(-time.Minute)})
	after, _ := r.run(reconcile.Window{Since: r.began.Add(-time.Minute), Until: r.began.Add(10 * time.Minute)})
	if before.Matched != (reconcile.Figures{Messages: 1, Records: 1, Money: 4_000_000}) || after.Totals != (reconcile.Totals{}) {
		t.Errorf("got %+v and then %+v, want the message where its record is", before.Totals, after.Totals)
	}
}

// Of all windows that a day is cut into, the figures add up to the day's.
func TestWindowsAddUp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for i := range 40 {
		at := r.began.Add(-time.Duration(i) * 17 * time.Second)
		switch i % 4 {
		case 0:
			r.plant(flowroutetest.Record{Timestamp: at})
		default:
			r.claimed(ledger.NewID(), flowroutetest.Record{Timestamp: at, Code: []int{1003, 1004, 1005}[r.IntN(3)]})
		}
	}
	for range 5 {
		r.settle(r.create(ledger.NewID(), r.recipient()), ledger.Unknown, "")
	}
	r.later(7 * time.Hour)
	whole, _ := r.run(r.window())
	for range 10 {
		var sum reconcile.Totals
		for since := r.window().Since; since.Before(r.window().Until); {
			until := since.Add(time.Duration(1+r.IntN(1200)) * time.Second)
			if until.After(r.window().Until) {
				until = r.window().Until
			}
			part, _ := r.run(reconcile.Window{Since: since, Until: until})
			for _, c := range reconcile.Classes() {
				f, o := sum.Of(c), part.Of(c)
				f.Messages, f.Records, f.Money = f.Messages+o.Messages, f.Records+o.Records, f.Money+o.Money
			}
			since = until
		}
		same(t, "sum of the parts", sum, whole.Totals)
	}
	if whole.WithoutRecord.Messages != 5 || whole.WithoutJob.Records != 10 || whole.Matched.Messages != 30 {
		t.Errorf("got %+v", whole.Totals)
	}
}

// A run that Redis breaks off keeps no report, and the next one is whole.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.send(ledger.NewID(), r.recipient(), "hello")
	r.later(7 * time.Hour)
	broken := errors.New("the list's reader is gone")
	_, err := r.reconciler().Run(t.Context(), reconcile.Request{Window: r.window(), Classes: reconcile.Classes(),
		Each: func(reconcile.Item) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	proxy := r.db.Proxy(t)
	cut := proxy.Client()
	led, err := ledger.New(cut, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	behind, err := reconcile.New(cut, led, r.store, r.options)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	if _, err := behind.Run(t.Context(), reconcile.Request{Window: r.window()}); err == nil {
		t.Error("no error without Redis")
	}
	if _, err := r.reconciler().Report(t.Context(), r.window()); !errors.Is(err, reconcile.ErrNotFound) {
		t.Errorf("got %v, want no report", err)
	}
	if report, _ := r.run(r.window()); report.Matched.Records != 1 {
		t.Errorf("got %+v, want the message matched", report.Totals)
	}
}

// The job of cron does the last complete day, or the one that is asked for.
func TestHandle(t *testing.T) {
	t.Parallel()
	r := setup(t)
	job := ledger.NewID()
	r.send(job, r.recipient(), "hello")
	r.sync()
	r.later(time.Until(r.began.Truncate(24 * time.Hour).Add(31 * time.Hour)))
	for name, payload := range map[string]string{
		"the last complete day": `{"v":1}`,
		"a day":                 fmt.Sprintf(`{"v":1,"since":%q}`, r.began.Truncate(24*time.Hour).Format(time.RFC3339)),
	} {
		b, err := r.reconciler().Handle(t.Context(), ledger.Job{ID: job, Type: ledger.Reconcile, Payload: []byte(payload)})
		if err != nil || !strings.Contains(string(b), `"complete":true`) || !strings.Contains(string(b), `"matched":{"messages":1,"records":1,"nanodollars":4000000}`) {
			t.Errorf("%s: got %s, %v", name, b, err)
		}
	}
	if _, err := r.reconciler().Handle(t.Context(), ledger.Job{Type: ledger.Reconcile, Payload: []byte("x")}); err == nil {
		t.Error("no error for a payload that cannot be read")
	}
	if report, ok, err := r.reconciler().LastDaily(t.Context()); err != nil || !ok || report.Matched.Records != 1 {
		t.Errorf("got %+v, %v, %v", report.Totals, ok, err)
	}
}
