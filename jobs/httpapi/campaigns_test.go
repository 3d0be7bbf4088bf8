package httpapi_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// campaigns is a server with campaigns.
type campaigns struct {
	*bundle
	store   *campaign.Store
	optOuts *suppress.Store
}

func setupCampaigns(t *testing.T, change ...func(*httpapi.Options)) *campaigns {
	t.Helper()
	return setupCampaignsOn(t, redistest.New(t).Client(), change...)
}

func setupCampaignsOn(t *testing.T, rdb redis.UniversalClient, change ...func(*httpapi.Options)) *campaigns {
	t.Helper()
	optOuts, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := campaign.New(rdb, campaign.Options{OptOuts: optOuts})
	if err != nil {
		t.Fatal(err)
	}
	change = append([]func(*httpapi.Options){func(o *httpapi.Options) { o.Campaigns = store }}, change...)
	return &campaigns{setupOn(t, rdb, change...), store, optOuts}
}

// asked is an answer about a campaign.
type asked struct {
	campaign.View
	Duplicate  bool `json:"duplicate"`
	Repeatable bool `json:"repeatable"`
}

const spring = `{"name":"Spring","from":["+12065550101","(206) 555-0100"],"template":"Hi {{name|default \"there\"}}!","rate":2.5,"priority":"normal",` +
	`"max_segments":3,"sending_hours":"09:00-20:00","key":"spring"}`

// draft makes a draft with these fields beside from.
func (b *campaigns) draft(fields string) asked {
	b.t.Helper()
	return decode[asked](b.t, b.do("POST", "/v1/campaigns", `{"from":"+12065550100"`+fields+`}`).want(b.t, 201))
}

func (b *campaigns) get(id string) campaign.View {
	b.t.Helper()
	return decode[campaign.View](b.t, b.do("GET", "/v1/campaigns/"+id, "").want(b.t, 200))
}

func TestCampaignIsADraftFirst(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	a := b.do("POST", "/v1/campaigns", spring).want(t, 201)
	c := decode[asked](t, a)
	if at := a.header.Get("Location"); at != "/v1/campaigns/"+c.ID {
		t.Errorf("got Location %q", at)
	}
	want := campaign.View{
		ID: c.ID, Name: "Spring", State: campaign.Draft, From: []string{"+12065550100", "+12065550101"}, Template: `Hi {{name|default "there"}}!`, Rate: 2.5,
		Priority: "normal", MaxSegments: 3, SendingHours: "09:00-20:00", CreatedAt: c.CreatedAt, Jobs: map[ledger.State]int{}, Failures: []campaign.FailureView{},
		EstimatedCost: c.EstimatedCost, Cost: c.Cost,
	}
	if diff := cmp.Diff(want, c.View); diff != "" || c.Duplicate || !c.Repeatable {
		t.Errorf("got %+v: %s", c, diff)
	}
	// The same again, in other words, with the key in the header.
	again := decode[asked](t, b.do("POST", "/v1/campaigns", strings.Replace(strings.Replace(spring, `,"key":"spring"`, "", 1),
		`["+12065550101","(206) 555-0100"]`, `["206-555-0100","+12065550101","+12065550100"]`, 1), "Idempotency-Key", `"spring"`).want(t, 200))
	if again.ID != c.ID || !again.Duplicate {
		t.Errorf("got %+v, want it to be %s", again, c.ID)
	}
	p := b.do("POST", "/v1/campaigns", strings.Replace(spring, "2.5", "3", 1)).wantProblem(t, 409, "key_conflict")
	if !strings.Contains(p.Detail, "campaign") {
		t.Errorf("got %q", p.Detail)
	}
	one, two := b.draft(""), b.draft("")
	if one.ID == two.ID || one.Repeatable || one.Duplicate || one.Template != "{{body}}" {
		t.Errorf("got %+v and %+v", one, two)
	}
	if got := b.get(two.ID); got.State != campaign.Draft {
		t.Errorf("got %+v", got)
	}
}

func TestCampaignBadInput(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	with := func(fields string) string { return `{"from":"+12065550100",` + fields + `}` }
	for name, tt := range map[string]struct {
		body   string
		status int
		what   string // code and field of each problem
	}{
		"no JSON":           {`{"from":`, 400, "malformed_json "},
		"not UTF-8":         {"{\"name\":\"\xff\"}", 400, "not_utf8 "},
		"a list":            {`[]`, 422, "wrong_type "},
		"no sender":         {`{"template":"x","from":null}`, 422, "required from"},
		"no senders":        {`{"from":[]}`, 422, "required from"},
		"unknown":           {with(`"tempalte":"x"`), 422, "unknown_field tempalte"},
		"other case":        {with(`"Template":"x"`), 422, "unknown_field Template"},
		"twice":             {with(`"from":"+12065550100"`), 422, "repeated_field from"},
		"wrong types":       {`{"from":[1],"template":1,"rate":"5","max_segments":1.5,"start_at":"soon","name":[],"v":"1"}`, 422, "wrong_type from,wrong_type template,wrong_type rate,wrong_type max_segments,wrong_type start_at,wrong_type name,unsupported_version v"},
		"sender null":       {`{"from":["+12065550100",null]}`, 422, "wrong_type from"},
		"half an emoji":     {with(`"template":"hi \ud83d"`), 422, "not_utf8 template"},
		"bad values":        {`{"from":["555","+12065550100"],"rate":-1,"priority":"otp","max_segments":24,"sending_hours":"8-21"}`, 422, "invalid from[0],invalid rate,invalid priority,invalid max_segments,invalid sending_hours"},
		"start in the past": {with(`"start_at":"2020-01-01T00:00:00Z"`), 422, "in_the_past start_at"},
		"start far ahead":   {with(`"start_at":"2199-01-01T00:00:00Z"`), 422, "too_far_ahead start_at"},
		"end before start":  {with(fmt.Sprintf(`"start_at":%q,"end_at":%q`, hence(48), hence(24))), 422, "contradiction end_at"},
		"template loops":    {with(`"template":"{{range .}}x{{end}}"`), 422, "invalid template"},
		"template calls":    {with(`"template":"{{name|upper}}"`), 422, "invalid template"},
		"version":           {with(`"v":2`), 422, "unsupported_version v"},
		"long name":         {with(`"name":"` + strings.Repeat("x", 101) + `"`), 422, "too_long name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, media := range []string{"application/json", asLines} {
				p := decode[problem](t, b.do("POST", "/v1/campaigns", tt.body, "Content-Type", media).want(t, tt.status))
				var got []string
				for _, e := range p.Errors {
					got = append(got, e.Code+" "+e.Field)
				}
				if strings.Join(got, ",") != tt.what {
					t.Errorf("%s: got %q, want %q: %s", media, got, tt.what, p.Detail)
				}
			}
		})
	}
	for _, key := range []string{`""`, strings.Repeat("k", 256)} {
		b.do("POST", "/v1/campaigns", `{"from":"+12065550100"}`, "Idempotency-Key", key).want(t, 422)
	}
	nobody := ledger.NewCampaignID().String()
	for _, id := range []string{nobody, "3f6c2a17", "x"} {
		for _, at := range []string{"GET ", "GET /failures", "POST /start", "POST /pause", "POST /resume", "POST /cancel"} {
			method, rest, _ := strings.Cut(at, " ")
			b.do(method, "/v1/campaigns/"+id+rest, "").wantProblem(t, 404, "not_found")
		}
		b.do("POST", "/v1/campaigns/"+id+"/recipients", "to\n+12065550123\n", "Content-Type", "text/csv").wantProblem(t, 404, "not_found")
	}
	b.do("POST", "/v1/campaigns?dry_run=true", `{"from":"+12065550100"}`).wantProblem(t, 422, "unknown_field")
	b.do("POST", "/v1/campaigns", "to\n", "Content-Type", "text/csv").wantProblem(t, 415, "unsupported_content_type")
	b.do("POST", "/v1/campaigns", `{"from":"+12065550100","name":"`+strings.Repeat(" ", 70_000)+`"}`).wantProblem(t, 413, "too_large")
	if left := decode[page](t, b.do("GET", "/v1/campaigns", "").want(t, 200)); len(left.Items) != 0 {
		t.Errorf("got %+v, want nothing made", left)
	}
}

// hence is a time in so many hours.
func hence(hours int) string {
	return time.Now().Add(time.Duration(hours) * time.Hour).UTC().Format(time.RFC3339)
}

type page struct {
	Items []campaign.View `json:"items"`
	Next  string          `json:"next_cursor"`
}

func TestCampaignsAreStartedPausedAndCancelled(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	c := b.draft(`,"template":"hello"`)
	at := "/v1/campaigns/" + c.ID
	do := func(op string, want campaign.State) {
		t.Helper()
		if got := decode[campaign.View](t, b.do("POST", at+"/"+op, "").want(t, 200)); got.State != want || got.ID != c.ID {
			t.Errorf("%s: got %+v, want %s", op, got, want)
		}
	}
	b.do("POST", at+"/start", "").wantProblem(t, 409, "no_recipients")
	b.do("POST", at+"/pause", "").wantProblem(t, 409, "wrong_state")
	b.do("POST", at+"/resume", "").wantProblem(t, 409, "wrong_state")
	b.recipients(c.ID, "to\n+12065550123\n", "text/csv")
	do("start", campaign.Running)
	do("start", campaign.Running)
	p := b.do("POST", at+"/recipients", "to\n+12065550124\n", "Content-Type", "text/csv").wantProblem(t, 409, "wrong_state")
	if !strings.Contains(p.Detail, "running") {
		t.Errorf("got %q", p.Detail)
	}
	do("pause", campaign.Paused)
	if got := b.get(c.ID); got.Paused == nil || got.Paused.By != "person" {
		t.Errorf("got %+v", got)
	}
	do("resume", campaign.Running)
	do("cancel", campaign.Cancelled)
	do("cancel", campaign.Cancelled)
	for _, op := range []string{"start", "pause", "resume"} {
		b.do("POST", at+"/"+op, "").wantProblem(t, 409, "wrong_state")
	}
	b.do("POST", at+"/start?now=1", "").wantProblem(t, 422, "unknown_field")

	later := b.draft(`,"template":"hello","start_at":"` + hence(3) + `"`)
	b.recipients(later.ID, "to\n+12065550123\n", "text/csv")
	if got := decode[campaign.View](t, b.do("POST", "/v1/campaigns/"+later.ID+"/start", "").want(t, 200)); got.State != campaign.Scheduled {
		t.Errorf("got %+v", got)
	}
}

func TestCampaignsAreListed(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	var all, drafts []string
	for i := range 7 {
		c := b.draft("")
		all = append(all, c.ID)
		if i%2 == 0 {
			drafts = append(drafts, c.ID)
			continue
		}
		b.do("POST", "/v1/campaigns/"+c.ID+"/cancel", "").want(t, 200)
	}
	list := func(query string) []string {
		t.Helper()
		var ids []string
		for cursor, more := "", true; more; {
			got := decode[page](t, b.do("GET", "/v1/campaigns?"+query+cursor, "").want(t, 200))
			for _, c := range got.Items {
				ids = append(ids, c.ID)
			}
			cursor, more = "&cursor="+got.Next, got.Next != ""
			if len(got.Items) == 0 && more {
				t.Errorf("%s: an empty page, and more after it", query)
			}
		}
		slices.Sort(ids) // those of one millisecond are in no order
		return ids
	}
	slices.Sort(all)
	slices.Sort(drafts)
	for query, want := range map[string][]string{"limit=100": all, "limit=1": all, "limit=3": all, "limit=7": all, "limit=2&state=draft": drafts, "limit=4&state=draft": drafts, "limit=2&state=done": nil} {
		if got := list(query); !cmp.Equal(got, want) {
			t.Errorf("%s: %s", query, cmp.Diff(want, got))
		}
	}
	for _, wrong := range []string{"state=going", "cursor=x", "limit=0", "states=draft"} {
		b.do("GET", "/v1/campaigns?"+wrong, "").want(t, 422)
	}
}

// failed is a row of a list of failures.
type failed struct {
	Row    int               `json:"row"`
	To     string            `json:"to"`
	Fields map[string]string `json:"fields"`
	State  ledger.State      `json:"state"`
	Reason ledger.Reason     `json:"reason"`
	Detail string            `json:"detail"`
	ID     string            `json:"id"`
}

// refuseAll has jobs made of a campaign's rows, and each refused.
func (b *campaigns) refuseAll(id string, rows int) (jobs []string) {
	b.t.Helper()
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		b.t.Fatal(err)
	}
	feeder, err := campaign.NewFeeder(campaign.FeederOptions{Store: b.store, Jobs: b.jobs, Clocks: clocks})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- feeder.Run(ctx) }()
	b.until("fed", func() bool { return b.get(id).Jobs[ledger.Queued] == rows })
	cancel()
	if err := <-ended; err != nil {
		b.t.Error(err)
	}
	at, err := ledger.ParseID(id)
	if err != nil {
		b.t.Fatal(err)
	}
	for row := range rows {
		job := at.OfRow(uint32(row + 1)).String()
		b.begin(job, ledger.Failed, ledger.ReasonRefused)
		jobs = append(jobs, job)
	}
	return jobs
}

// until looks until it is so.
func (b *campaigns) until(what string, so func() bool) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !so(); {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("not in time: %s", what)
		}
	}
}

func TestFailuresAreListed(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	c := b.draft(`,"template":"{{name}}, {{state}} {{phone|default \"x\"}}"`)
	var body strings.Builder
	body.WriteString("to,name,state\n")
	for i := range 5 {
		fmt.Fprintf(&body, "+1206555012%d,=%d,new\n", i, i)
	}
	b.recipients(c.ID, body.String(), "text/csv")
	b.do("POST", "/v1/campaigns/"+c.ID+"/start", "").want(t, 200)
	ids := b.refuseAll(c.ID, 5)

	at := "/v1/campaigns/" + c.ID + "/failures"
	var got []failed
	for cursor, more := "", true; more; {
		part := decode[struct {
			Items []failed `json:"items"`
			Next  string   `json:"next_cursor"`
		}](t, b.do("GET", at+"?limit=2"+cursor, "").want(t, 200))
		got = append(got, part.Items...)
		cursor, more = "&cursor="+part.Next, part.Next != ""
	}
	var want []failed
	for i := range 5 {
		want = append(want, failed{i + 1, fmt.Sprintf("+1206555012%d", i), map[string]string{"name": fmt.Sprintf("=%d", i), "state": "new"}, ledger.Failed, ledger.ReasonRefused, "", ids[i]})
	}
	if !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	lines := b.do("GET", at+"?cursor=2", "", "Accept", "text/html, application/x-ndjson;q=0.9").want(t, 200)
	if got := strings.Count(string(lines.body), "\n"); got != 3 || lines.header.Get("Content-Type") != asLines || lines.header.Get("Vary") != "Accept" {
		t.Errorf("got %d lines, %v: %s", got, lines.header, lines.body)
	}
	table := b.do("GET", at, "", "Accept", "text/csv").want(t, 200)
	rows, err := csv.NewReader(strings.NewReader(string(table.body))).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("got %v, %v", rows, err)
	}
	if want := []string{"recipient", "name", "state", "phone", "row", "message_state", "reason", "detail", "id"}; !cmp.Equal(rows[0], want) {
		t.Errorf("got %v, want %v", rows[0], want)
	}
	if want := []string{"+12065550120", "'=0", "new", "", "1", "failed", "refused", "", ids[0]}; !cmp.Equal(rows[1], want) {
		t.Errorf("got %v, want %v", rows[1], want)
	}
	// It can be sent again.
	again := b.draft(`,"template":"{{name}}, {{state}} {{phone|default \"x\"}}"`)
	a := b.do("POST", "/v1/campaigns/"+again.ID+"/recipients?recipient=recipient", string(table.body), "Content-Type", "text/csv").want(t, 200)
	if _, total := rowsOf(t, a.body); total.Total.Accepted != 5 {
		t.Errorf("got %s", a.body)
	}
	for accept, query := range map[string]string{"text/csv": "limit=5", asLines: "cursor=x", "application/json": "cursor=0"} {
		b.do("GET", at+"?"+query, "", "Accept", accept).want(t, 422)
	}
	empty := b.do("GET", "/v1/campaigns/"+again.ID+"/failures", "", "Accept", asLines).want(t, 200)
	if len(empty.body) != 0 || empty.header.Get("Content-Type") != asLines {
		t.Errorf("got %q, %v", empty.body, empty.header)
	}
	if list := decode[struct{ Items []failed }](t, b.do("GET", "/v1/campaigns/"+again.ID+"/failures", "").want(t, 200)); list.Items == nil || len(list.Items) != 0 {
		t.Errorf("got %+v", list)
	}
}
