package campaign_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// look looks ahead at some rows.
func (r *rig) look(spec campaign.Spec, rows string, o campaign.PreflightOptions) campaign.Preflight {
	r.t.Helper()
	p, err := r.Preflight(r.t.Context(), always(spec), strings.NewReader(rows), campaign.Input{}, o, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// What a look ahead says is what an upload then does.
func TestPreflightIsWhatUploadDoes(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	optOuts, err := suppress.New(r.rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opted, err := flowroute.ParseE164("+12062000003")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := optOuts.Add(t.Context(), suppress.Entry{Recipient: opted, Source: suppress.SourcePerson}); err != nil {
		t.Fatal(err)
	}
	if r.Store, err = campaign.New(r.rdb, campaign.Options{OptOuts: optOuts, SegmentPrice: 10_000_000}); err != nil {
		t.Fatal(err)
	}
	rows := people(1, 5000) + "+12062000001,Again\n12,Short\n+12062999999," + strings.Repeat("long ", 400) + "\n+12062999998," + strings.Repeat("x", 200) + "\n"
	spec := always(campaign.Spec{Template: "Hello {{name}}"})
	var foreseen, done []campaign.Answer
	p, err := r.Preflight(t.Context(), spec, strings.NewReader(rows), campaign.Input{}, campaign.PreflightOptions{}, func(a campaign.Answer) error {
		foreseen = append(foreseen, a)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if keys := r.rdb.Keys(t.Context(), "*cp*").Val(); len(keys) > 0 {
		t.Errorf("it has written %q", keys)
	}
	created, err := r.Create(t.Context(), spec.ID(nil), spec)
	if err != nil {
		t.Fatal(err)
	}
	totals, err := r.Upload(t.Context(), created.ID, strings.NewReader(rows), campaign.Input{}, func(a campaign.Answer) error {
		done = append(done, a)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(foreseen, done) {
		t.Error("the answers are not those of the upload")
	}
	if p.Recipients != totals.Accepted || p.Segments != totals.Segments || p.Skipped != (campaign.Skipped{Duplicate: totals.Duplicate, Blocked: totals.Blocked, Invalid: totals.Invalid}) {
		t.Errorf("got %+v, want %+v", p, totals)
	}
	if want := []campaign.TextCount{{1, 4999}, {2, 1}}; !slices.Equal(p.Texts, want) || p.EstimatedCost != "$50.01" {
		t.Errorf("got %v, cost %s, want %v and $50.01", p.Texts, p.EstimatedCost, want)
	}
	if len(p.Invalid) != 2 || p.Invalid[0].Line != 5003 || p.Invalid[1].Code != jobs.CodeTooLong || len(p.Blocked) != 1 || p.Blocked[0].Line != 4 {
		t.Errorf("got invalid %+v, blocked %+v", p.Invalid, p.Blocked)
	}
}

// What makes texts expensive, what to write instead, and what that saves.
func TestPreflightSavings(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{SegmentPrice: 10_000_000})
	long := strings.Repeat("x", 100)
	rows := "phone,name\n+12062000001,Ann\n+12062000002,O’Neil" + long + "\n+12062000003,Zoë\n"
	p := r.look(campaign.Spec{Template: `It’s {{name|default "you…"}} ` + long}, rows, campaign.PreflightOptions{})
	// 110, 214 and 110 units of 70 in UCS-2; then, in the order of the rows, 1, 4 and 2.
	if p.Segments != 2+4+2 || p.UCS2 != 3 || p.PlainSaves != 1 || p.PlainSaving != "$0.01" || p.PlainTemplate != `It's {{name|default "you..."}} `+long {
		t.Errorf("got %+v", p)
	}
	if p.PlainValues != 2 || p.ValuesSaving != "$0.02" {
		t.Errorf("got %d segments and %s by plain values, want 2 and $0.02", p.PlainValues, p.ValuesSaving)
	}
	if c := p.Costly; len(c) != 2 || c[0].Char != "’" || *c[0].Write != "'" || c[0].Column != 3 || c[0].OnlyInDefaults || !c[1].OnlyInDefaults {
		t.Errorf("got characters %+v", c)
	}
	if v := p.Values; len(v) != 2 || v[0].Field != "name" || v[0].Char != "’" || v[0].Line != 3 || *v[0].Write != "'" || v[1].Char != "ë" || v[1].Write != nil {
		t.Errorf("got values %+v", v)
	}
	plain := r.look(campaign.Spec{Template: "Hello"}, "phone\n+12062000001\n", campaign.PreflightOptions{})
	if plain.UCS2+plain.PlainSaves+len(plain.Costly)+len(plain.Values) != 0 || plain.PlainTemplate != "" {
		t.Errorf("got %+v for a text in ASCII", plain)
	}
}

// The forecast keeps to the rate and to the hours of the recipients.
func TestPreflightFinish(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC().Truncate(24 * time.Hour).Add(48 * time.Hour)
	var rows strings.Builder
	rows.WriteString("phone\n")
	for i := range 100 {
		fmt.Fprintf(&rows, "+1206%07d\n+4420%08d\n", 2000000+i, 79460000+i)
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	seattle, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	at := func(hour int, zone *time.Location) time.Time {
		return time.Date(day.Year(), day.Month(), day.Day(), hour, 0, 0, 0, zone)
	}
	start := at(7, london)
	for name, c := range map[string]struct {
		spec campaign.Spec
		o    campaign.PreflightOptions
		want campaign.Preflight
	}{
		"no limit":           {want: campaign.Preflight{FinishAt: start}},
		"the account's":      {o: campaign.PreflightOptions{Rate: 4}, want: campaign.Preflight{FinishAt: start.Add(50 * time.Second), Rate: 4}},
		"its own":            {spec: campaign.Spec{Rate: 2}, o: campaign.PreflightOptions{Rate: 4}, want: campaign.Preflight{FinishAt: start.Add(100 * time.Second), Rate: 2}},
		"hours":              {spec: campaign.Spec{SendingHours: "08:00-21:00"}, o: campaign.PreflightOptions{Rate: 4, Clocks: clocks}, want: campaign.Preflight{FinishAt: at(8, seattle).Add(25 * time.Second), Rate: 4, Outside: 200}},
		"an end":             {spec: campaign.Spec{EndAt: start.Add(20 * time.Second)}, o: campaign.PreflightOptions{Rate: 4}, want: campaign.Preflight{FinishAt: start.Add(50 * time.Second), Rate: 4, Unsent: 120}},
		"an end after it":    {spec: campaign.Spec{EndAt: start.Add(time.Hour)}, o: campaign.PreflightOptions{Rate: 4}, want: campaign.Preflight{FinishAt: start.Add(50 * time.Second), Rate: 4}},
		"an end before some": {spec: campaign.Spec{SendingHours: "08:00-21:00", EndAt: at(10, london)}, o: campaign.PreflightOptions{Clocks: clocks}, want: campaign.Preflight{FinishAt: at(8, seattle), Unsent: 100, Outside: 200}},
		"days":               {spec: campaign.Spec{SendingHours: "08:00-09:00", Rate: 0.01}, o: campaign.PreflightOptions{Clocks: clocks}, want: campaign.Preflight{Rate: 0.01, Outside: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.spec.StartAt, c.spec.Template = start, "Hi"
			got := r.look(c.spec, rows.String(), c.o)
			if name == "days" {
				if days := got.FinishAt.Sub(start).Hours() / 24; days < 2 || days > 4 {
					t.Errorf("200 at 0.01/s, an hour a day for each half: got %.1f days", days)
				}
				return
			}
			if !got.FinishAt.Equal(c.want.FinishAt) || got.Rate != c.want.Rate || got.Unsent != c.want.Unsent || got.Outside != c.want.Outside {
				t.Errorf("got finish %v, rate %v, unsent %d, outside %d, want %v, %v, %d, %d", got.FinishAt, got.Rate, got.Unsent, got.Outside,
					c.want.FinishAt.UTC(), c.want.Rate, c.want.Unsent, c.want.Outside)
			}
		})
	}
}

func TestPreflightErrors(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	_, err := r.Preflight(t.Context(), campaign.Spec{}, strings.NewReader(""), campaign.Input{}, campaign.PreflightOptions{}, nil)
	if _, ok := errors.AsType[*jobs.ValidationError](err); !ok {
		t.Errorf("no sender: got %v, want a ValidationError", err)
	}
	_, err = r.Preflight(t.Context(), always(campaign.Spec{}), strings.NewReader("name\nAnn\n"), campaign.Input{}, campaign.PreflightOptions{}, nil)
	if _, ok := errors.AsType[*intake.FileError](err); !ok {
		t.Errorf("no column: got %v, want a FileError", err)
	}
	var lines strings.Builder
	lines.WriteString("phone,body\n")
	for i := range 300 {
		fmt.Fprintf(&lines, "+1206%07d,%s\n", 2000000+i, strings.Repeat("x", 2001+i))
	}
	p := r.look(campaign.Spec{}, lines.String(), campaign.PreflightOptions{})
	rows := 0
	for _, why := range p.Invalid {
		rows += why.Rows
	}
	if len(p.Invalid) > 101 || rows != 300 {
		t.Errorf("got %d reasons for %d rows, want at most 101 for 300", len(p.Invalid), rows)
	}
}
