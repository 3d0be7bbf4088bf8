package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestMessageValidate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	no, yes := false, true
	urls := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("https://example.com/%d.jpg", i))
		}
		return list
	}
	tests := map[string]struct {
		change func(*jobs.Message)
		want   []problem
	}{
		"in order":                    {func(m *jobs.Message) {}, nil},
		"numbers as people type them": {func(m *jobs.Message) { m.From, m.To = "(206) 555-0100", "1 206 555 0123" }, nil},
		"nothing at all":              {func(m *jobs.Message) { *m = jobs.Message{} }, []problem{{"from", "required"}, {"to", "required"}, {"body", "required"}}},
		"all wrong at once": {func(m *jobs.Message) {
			*m = jobs.Message{From: "x", To: "911", Priority: "now", Campaign: " c", Key: "a\x00b"}
		}, []problem{{"from", "invalid"}, {"to", "invalid"}, {"body", "required"}, {"priority", "invalid"}, {"campaign", "invalid"}, {"key", "control_character"}}},
		"to itself":                   {func(m *jobs.Message) { m.To = "206-555-0100" }, []problem{{"to", "contradiction"}}},
		"blank body":                  {func(m *jobs.Message) { m.Body = " \n" }, []problem{{"body", "required"}}},
		"text mms without text":       {func(m *jobs.Message) { m.Body, m.IsMMS = "", &yes }, []problem{{"body", "required"}}},
		"text mms":                    {func(m *jobs.Message) { m.IsMMS = &yes }, nil},
		"media without text":          {func(m *jobs.Message) { m.Body, m.MediaURLs = "", urls(1) }, nil},
		"media that is no mms":        {func(m *jobs.Message) { m.MediaURLs, m.IsMMS = urls(1), &no }, []problem{{"is_mms", "contradiction"}}},
		"longest body":                {func(m *jobs.Message) { m.Body = strings.Repeat("ü", jobs.MaxBody) }, nil},
		"body too long":               {func(m *jobs.Message) { m.Body = strings.Repeat("a", jobs.MaxBody+1) }, []problem{{"body", "too_long"}}},
		"body not utf-8":              {func(m *jobs.Message) { m.Body = "caf\xe9" }, []problem{{"body", "not_utf8"}}},
		"body with nul":               {func(m *jobs.Message) { m.Body = "a\x00b" }, []problem{{"body", "control_character"}}},
		"body with escape":            {func(m *jobs.Message) { m.Body = "\x1b[31mred" }, []problem{{"body", "control_character"}}},
		"body with c1 control":        {func(m *jobs.Message) { m.Body = "a\u0085b" }, []problem{{"body", "control_character"}}},
		"body with lines, tab, emoji": {func(m *jobs.Message) { m.Body = "one\r\n\ttwo 👩‍👩‍👧 “three”" }, nil},
		"most media":                  {func(m *jobs.Message) { m.MediaURLs = urls(jobs.MaxMedia) }, nil},
		"50 media":                    {func(m *jobs.Message) { m.MediaURLs = urls(50) }, []problem{{"media_urls", "too_many"}}},
		"media of all wrong sorts": {func(m *jobs.Message) {
			m.MediaURLs = []string{"", "cat.jpg", "//example.com/a", "ftp://example.com/a", "https:///a", "https://:443/a", "https://u:p@example.com/a", "https://example.com/a b", "https://exa\x00mple.com/", "mailto:a@example.com"}
		}, []problem{{"media_urls[0]", "invalid"}, {"media_urls[1]", "invalid"}, {"media_urls[2]", "invalid"}, {"media_urls[3]", "invalid"}, {"media_urls[4]", "invalid"}, {"media_urls[5]", "invalid"}, {"media_urls[6]", "invalid"}, {"media_urls[7]", "invalid"}, {"media_urls[8]", "invalid"}, {"media_urls[9]", "invalid"}}},
		"media url too long": {func(m *jobs.Message) { m.MediaURLs = []string{"https://example.com/" + strings.Repeat("a", 2000)} }, []problem{{"media_urls[0]", "too_long"}}},
		"media urls of all good sorts": {func(m *jobs.Message) {
			m.MediaURLs = []string{"http://example.com", "HTTPS://Example.com:8443/a%20b?c=d#e", "https://[2001:db8::1]/a", "https://bücher.example/ä"}
		}, nil},
		"send in a year":            {func(m *jobs.Message) { m.SendAt = now.AddDate(1, 0, 0) }, nil},
		"send later than a year":    {func(m *jobs.Message) { m.SendAt = now.AddDate(1, 0, 1) }, []problem{{"send_at", "too_far_ahead"}}},
		"send in the past":          {func(m *jobs.Message) { m.SendAt = now.AddDate(-30, 0, 0) }, nil},
		"expires now":               {func(m *jobs.Message) { m.ExpiresAt = now }, []problem{{"expires_at", "in_the_past"}}},
		"expires later":             {func(m *jobs.Message) { m.ExpiresAt = now.Add(time.Second) }, nil},
		"expires before it is sent": {func(m *jobs.Message) { m.SendAt, m.ExpiresAt = now.Add(2*time.Hour), now.Add(time.Hour) }, []problem{{"expires_at", "contradiction"}}},
		"expires in the far future": {func(m *jobs.Message) { m.ExpiresAt = now.AddDate(1, 0, 1) }, []problem{{"expires_at", "too_far_ahead"}}},
		"year 20000":                {func(m *jobs.Message) { m.SendAt, m.ExpiresAt = now.AddDate(18000, 0, 0), now.AddDate(18001, 0, 0) }, []problem{{"send_at", "too_far_ahead"}}},
		"key too long":              {func(m *jobs.Message) { m.Key = strings.Repeat("k", 256) }, []problem{{"key", "too_long"}}},
		"longest key and campaign":  {func(m *jobs.Message) { m.Key, m.Campaign = strings.Repeat("ü", 255), strings.Repeat("c", 100) }, nil},
		"campaign too long":         {func(m *jobs.Message) { m.Campaign = strings.Repeat("c", 101) }, []problem{{"campaign", "too_long"}}},
		"key not utf-8":             {func(m *jobs.Message) { m.Key = "\xff" }, []problem{{"key", "not_utf8"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := hello()
			tt.change(&m)
			got := problemsOf(t, m.Validate(now))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// What is wrong is said without showing it.
func TestErrorsShowNoSecrets(t *testing.T) {
	t.Parallel()
	m := jobs.Message{
		From: "+1415887201", To: "+44 20 7946 0958 ext 9",
		Body:      "my PIN is 8731\x00",
		MediaURLs: []string{"https://user:hunter2@example.com/a", "ftp://secret.example.com"},
		Campaign:  " secretive", Key: "hush\x01",
	}
	err := m.Validate(time.Now())
	if err == nil {
		t.Fatal("got no error")
	}
	for _, secret := range []string{"8731", "PIN", "hunter2", "secret", "hush", "415887", "7946"} {
		if text := err.Error(); strings.Contains(text, secret) {
			t.Errorf("%q is in the error: %s", secret, text)
		}
	}
}

func TestMessageOfReadsWhatWasAsked(t *testing.T) {
	t.Parallel()
	yes := true
	tests := map[string]struct {
		ask  jobs.Message
		want jobs.MessageSpec
	}{
		"least": {
			jobs.Message{From: "2065550100", To: "(206) 555-0123", Body: "<hi> & \u2028 \"bye\" 👋"},
			jobs.MessageSpec{Body: "<hi> & \u2028 \"bye\" 👋", Priority: "normal"},
		},
		"all": {
			jobs.Message{
				From: from, To: to, Body: "b", MediaURLs: []string{"https://example.com/?a=1&b=2"}, IsMMS: &yes,
				SendAt: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), ExpiresAt: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
				Priority: "otp", Campaign: "spring", Key: "k1",
			},
			jobs.MessageSpec{Body: "b", MediaURLs: []string{"https://example.com/?a=1&b=2"}, IsMMS: &yes, Priority: "otp", Campaign: "spring", Key: "k1"},
		},
	}
	b := setup(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			receipt, err := b.Send(t.Context(), tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jobs.MessageOf(b.get(t, receipt.ID))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.From, tt.want.To = number(t, from), number(t, to)
			tt.want.SendAt, tt.want.ExpiresAt = tt.ask.SendAt, tt.ask.ExpiresAt
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			m := got.Flowroute()
			if m.From != got.From || m.To != got.To || m.Body != got.Body || len(m.MediaURLs) != len(got.MediaURLs) || m.IsMMS != got.IsMMS {
				t.Errorf("for the API: got %+v", m)
			}
		})
	}
}

func TestMessageOfRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	good := ledger.Job{Type: ledger.SendMessage, From: number(t, from), To: number(t, to), Payload: []byte(`{"v":1,"body":"b"}`)}
	if _, err := jobs.MessageOf(good); err != nil {
		t.Fatalf("got %v, want none", err)
	}
	for name, change := range map[string]func(*ledger.Job){
		"another type": func(j *ledger.Job) { j.Type = ledger.RouteUpdate },
		"no payload":   func(j *ledger.Job) { j.Payload = nil },
		"no json":      func(j *ledger.Job) { j.Payload = []byte("{") },
		"newer":        func(j *ledger.Job) { j.Payload = []byte(`{"v":2,"body":{"text":"b"}}`) },
		"no numbers":   func(j *ledger.Job) { j.From = flowroute.E164{} },
	} {
		job := good
		change(&job)
		if _, err := jobs.MessageOf(job); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func number(t testing.TB, s string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
