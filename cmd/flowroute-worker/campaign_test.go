package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// list writes a file of recipients.
func list(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// somePeople is a CSV of so many recipients.
func somePeople(n int) string {
	var b strings.Builder
	b.WriteString("phone,name\n")
	for i := range n {
		fmt.Fprintf(&b, "+12065550%03d,Name %d\n", 200+i, i)
	}
	return b.String()
}

// of are the flags of a campaign that is sent at any hour.
func of(file string, more ...string) []string {
	return append([]string{"campaign", "create", "--file", file, "--from", "+12065550100", "--sending-hours", "00:00-24:00"}, more...)
}

// until runs a command until its output has a text.
func (b *bundle) until(text string, args ...string) result {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		got := b.run(args...)
		if strings.Contains(got.out, text) {
			return got
		}
		select {
		case <-tick.C:
		case <-late:
			b.t.Fatalf("%v never says %q:\n%s%s", args, text, got.out, got.errs)
		}
	}
}

// reached lists who was texted what, in order.
func (b *bundle) reached() []string {
	var texts []string
	for _, m := range b.sim.Truth().Messages {
		texts = append(texts, m.To+" "+m.Body)
	}
	slices.Sort(texts)
	return texts
}

// TestCampaign takes one all the way: each recipient is texted once, however often the
// command is given.
func TestCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("campaign", "list").want(t, exitDone, "there is no campaign yet", "")
	b.start("run")
	file := list(t, somePeople(60)+"12,Short\n+12065550200,Again\n")
	args := of(file, "--template", "Hi {{name}}!", "--name", "spring\u00a0sale")
	b.run(args...).want(t, exitUsage, "", "name: has a control or invisible character")
	args[len(args)-1] = "spring sale"
	made := b.run(args...).want(t, exitDone, "", "60 recipients taken of 62 rows (1 duplicate, 1 invalid)")
	for _, text := range []string{"line 62: phone: ", "60 segments, about $0.24 in all", "warning: 1 row left out", "running; see"} {
		if !strings.Contains(made.errs, text) {
			t.Errorf("create does not say %q:\n%s", text, made.errs)
		}
	}
	id := made.id()
	show := b.until("done since", "campaign", "show", id[:8])
	for _, text := range []string{id, "60 of 60 done (100%)", "accepted  60", "left out  1 duplicate, 1 invalid", "about $0.24 in all"} {
		if !strings.Contains(show.out, text) {
			t.Errorf("show does not say %q:\n%s", text, show.out)
		}
	}
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprintf("12065550%03d Hi Name %d!", 200+i, i))
	}
	if got := b.reached(); !slices.Equal(got, want) {
		t.Errorf("got %d texts %q, want each of the 60 once", len(got), got)
	}

	if again := b.run(args...).want(t, exitDone, id, "is done: nothing was added"); again.id() != id {
		t.Errorf("got campaign %s the second time, want %s", again.id(), id)
	}
	// Written otherwise, it is the same.
	other := list(t, "\ufeffName;Phone\r\nAnn;12\r\n"+strings.ReplaceAll(strings.Join(swapped(t, somePeople(60)+"+12065550200,Again\n"), "\r\n"), ",", ";"))
	b.run(of(other, "--from", "(206) 555-0100", "--template", "Hi {{name}}!", "--name", "spring sale", "--json")...).want(t, exitDone, `"existed": true`, "")
	b.run(append(args, "--dry-run")...).want(t, exitDone, "messages  60", "notice: the same campaign exists already, and is done")
	b.run(append(args, "--rate", "3")...).want(t, exitFailed, "", "but another name, rate, end or other setting")
	b.run("campaign", "show", id, "--json").want(t, exitDone, `"state": "done"`, "")
	b.run("campaign", "resend", id).want(t, exitFailed, "", "no row that failed is left")
	if n := len(b.reached()); n != 60 {
		t.Errorf("got %d texts in the end, want 60", n)
	}

	further := b.run(append(args, "--again")...).want(t, exitDone, "", "running")
	if further.id() == id {
		t.Error("--again makes no further campaign")
	}
	b.until("done since", "campaign", "show", further.id())
	if n := len(b.reached()); n != 120 {
		t.Errorf("got %d texts after --again, want 120", n)
	}
	b.wide(80, "campaign", "list")
	b.wide(80, "campaign", "show", id)
}

// swapped gives the rows of a CSV with two columns the other way round.
func swapped(t *testing.T, text string) []string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range rows[1:] {
		lines = append(lines, row[1]+","+row[0])
	}
	return lines
}

// wide fails the test where a command prints lines that are too wide.
func (b *bundle) wide(most int, args ...string) {
	b.t.Helper()
	for line := range strings.Lines(b.run(args...).want(b.t, exitDone, "", "").out) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > most {
			b.t.Errorf("%v prints a line of %d columns: %s", args, n, line)
		}
	}
}

// TestCampaignChanges: pause, resume and cancel, by the beginning of the id.
func TestCampaignChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("a name that is long ", 4) + "x"
	id := b.run(of(list(t, somePeople(3)), "--template", "Hi {{name}}!", "--start-at", "2h", "--name", long)...).want(t, exitDone, "", "scheduled for").id()
	b.run(of(list(t, somePeople(3)), "--template", "Hi {{name}}!", "--start-at", "2h", "--name", long)...).want(t, exitDone, id, "is scheduled: nothing was added")
	b.run("campaign", "resend", id).want(t, exitFailed, "", "rows of it may still fail")
	b.run("campaign", "pause", id[:8]).want(t, exitDone, "paused: 0 of 3 done (0%); it goes on with: flowroute-worker campaign resume "+id[:8], "")
	b.run("campaign", "show", id).want(t, exitDone, "it goes on with: ", "")
	b.run(of(list(t, somePeople(3)), "--template", "Hi {{name}}!", "--start-at", "2h", "--name", long)...).want(t, exitDone, id, "is paused: nothing was added; it goes on with")
	b.run("campaign", "resume", id[:9]).want(t, exitDone, "scheduled: it begins at", "")
	b.run("campaign", "resume", id).want(t, exitDone, "it was so already", "")
	b.run("campaign", "list", "--state", "running").want(t, exitDone, "there is no such campaign", "")
	b.run("campaign", "list", "--state", "scheduled,paused", "--json").want(t, exitDone, id, "")
	b.wide(80, "campaign", "list")
	b.run("campaign", "cancel", id).want(t, exitDone, "cancelled: 0 of 3 done (0%), 3 recipients had none yet", "")
	b.run("campaign", "resume", id).want(t, exitFailed, "", "the campaign is cancelled: it cannot be resumed")
	b.run("campaign", "show", id).want(t, exitDone, "to 3 nothing was sent", "")
	b.run(of(list(t, somePeople(3)), "--template", "Hi {{name}}!", "--start-at", "2h", "--name", long)...).want(t, exitFailed, "", "was cancelled; --again makes a further one")
	b.run("campaign", "show", id[:7]).want(t, exitUsage, "", "first 8 characters")
	b.run("campaign", "show", "00000000").want(t, exitFailed, "", "no such campaign")
}

// TestCampaignBrake: what the brake says, and where to look.
func TestCampaignBrake(t *testing.T) {
	t.Parallel()
	b := setup(t).with("CAMPAIGN_BRAKE", "10%/10")
	b.sim.FailNext("media-over-limit", 30)
	b.start("run")
	id := b.run(of(list(t, somePeople(30)), "--template", "Hi")...).want(t, exitDone, "", "30 recipients").id()
	show := b.until("paused by its brake since", "campaign", "show", id)
	for _, text := range []string{"were refused, the last one as refused", "Flowroute said no", "campaign failures " + id[:8], "once that is mended: flowroute-worker campaign resume " + id[:8]} {
		if !strings.Contains(show.out, text) {
			t.Errorf("it does not say %q:\n%s", text, show.out)
		}
	}
	b.run("campaign", "failures", id).want(t, exitDone, "phone,state,reason,detail\n+1206555", "the campaign is paused: others may follow")
	b.run("campaign", "resume", id).want(t, exitDone, "running: its brake had paused it at 2", "")
}

// TestCampaignFailures writes what failed, safe for spreadsheets, and sends it again.
func TestCampaignFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sim.FailNext("media-over-limit", 3)
	b.start("run")
	file := list(t, "mobile,name,state\n+12065550201,=1+2,WA\n+12065550202,\"B, \"\"C\"\"\",WA\n+12065550203,D,OR\n")
	id := b.run(of(file, "--template", "Hi {{name}} of {{state}}!")...).want(t, exitDone, "", "3 recipients").id()
	show := b.until("done since", "campaign", "show", id)
	if !strings.Contains(show.out, "failed  refused  3  Flowroute said no") {
		t.Errorf("show does not say why:\n%s", show.out)
	}
	name := filepath.Join(t.TempDir(), "failed.csv")
	b.run("campaign", "failures", id, "--output", name).want(t, exitDone, "", "begin as a formula does got an apostrophe in front: 1;")
	written, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(written)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"phone", "name", "state", "message_state", "reason", "detail"}; !slices.Equal(rows[0], want) {
		t.Errorf("got columns %q, want %q", rows[0], want)
	}
	if got := rows[1]; len(rows) != 4 || got[0] != "+12065550201" || got[1] != "'=1+2" || got[2] != "WA" || got[3] != "failed" || got[4] != "refused" || got[5] == "" {
		t.Errorf("got rows %q", rows)
	}
	b.run(of(name, "--template", "Hi {{name}} of {{state}}!", "--dry-run")...).want(t, exitDone, "messages  3\n", "")
	b.run("campaign", "failures", id, "--json").want(t, exitDone, `{"phone":"+12065550201","name":"=1+2","state":"WA","message_state":"failed","reason":"refused","detail":"`, "")
	b.run("campaign", "failures", id, "--reason", "expired").want(t, exitDone, "phone,name", "no such rows")

	second := b.run("campaign", "resend", id).want(t, exitDone, "", "3 recipients taken").id()
	b.until("done since", "campaign", "show", second)
	if got := b.reached(); !slices.Equal(got, []string{"12065550201 Hi =1+2 of WA!", `12065550202 Hi B, "C" of WA!`, "12065550203 Hi D of OR!"}) {
		t.Errorf("got texts %q, want each once, as it was", got)
	}
	b.run("campaign", "resend", id).want(t, exitDone, second, "nothing was added")
	if n := len(b.reached()); n != 3 {
		t.Errorf("got %d texts, want 3", n)
	}
}

// TestCampaignBadInput: what is bad as a whole begins nothing; what is bad in a row costs
// the row.
func TestCampaignBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const hi = "Hi {{name}}!"
	for name, c := range map[string]struct {
		file string
		args []string
		code int
		says string
	}{
		"BOM, CRLF and semicolons": {file: "\ufeffPhone;Name\r\n+12065550123;Ann\r\n", says: "1 recipient taken of 1 row\n"},
		"quoted line ends":         {file: "phone,name\n+12065550123,\"Ann\nLee\"\n+12065550124,Bob\n", says: "2 recipients taken"},
		"numbers by Excel":         {file: "phone,name\n1.2065551234E+10,Ann\n1.20656E+10,Bob\n", says: "1 recipient taken of 2 rows (1 invalid)"},
		"Latin-1":                  {file: "phone,name\n+12065550123,Zo\xeb\n", code: exitFailed, says: "line 2: is not UTF-8"},
		"Latin-1 that is said":     {file: "phone,name\n+12065550123,Zo\xeb\n", args: []string{"--latin1"}, says: "1 recipient"},
		"no header":                {file: "+12065550123,Ann\n", code: exitFailed, says: "line 1: the first line is a recipient"},
		"no number":                {file: "name,age\nAnn,4\n", code: exitFailed, says: "no column has the phone number"},
		"two columns of a name":    {file: "phone,name,Name\n+12065550123,Ann,Lee\n", code: exitFailed, says: "columns 2 and 3 have the same name"},
		"another column":           {file: "phone,home,name\n1,+12065550123,Ann\n", args: []string{"--recipient", "home"}, says: "1 recipient"},
		"10 MB in a field":         {file: "phone,name\n+12065550123," + strings.Repeat("x", 10<<20) + "\n+12065550124,Bob\n", says: "line 2: is longer than"},
		"JSON cut in the middle":   {file: `{"to":"+12065550123","name":"Ann"}` + "\n" + `{"to":"+12065550124","na`, says: "line 2: "},
		"empty":                    {file: "", code: exitFailed, says: "is empty"},
		"nobody":                   {file: "phone,name\n", code: exitFailed, says: "no recipient is left of 0 rows"},
		"all invalid":              {file: "phone,name\n" + strings.Repeat("12,Ann\n", 100), code: exitFailed, says: "and 80 more"},
		"all without a value":      {file: "phone,name\n+12065550123,\n", code: exitFailed, says: "no recipient is left of 1 row: nothing was started"},
		"too long, all":            {file: "phone,name\n+12065550123," + strings.Repeat("x", 1500) + "\n", code: exitFailed, says: "line 2: makes a text of 11 segments"},
		"loop":                     {args: []string{"--template", "{{range .x}}{{end}}"}, code: exitUsage, says: "has a condition, a loop or a block"},
		"function":                 {args: []string{"--template", "{{printf .x}}"}, code: exitUsage, says: "template: "},
		"unknown field":            {args: []string{"--template", "{{nick}}"}, code: exitFailed, says: "nick: is not a column: there are"},
		"escape in a column":       {file: "phone,\x1b[2Jname\n+12065550123,Ann\n", code: exitFailed, says: "name: is not a column"},
		"start in the past":        {args: []string{"--start-at", "2020-01-01T00:00:00Z"}, code: exitUsage, says: "start_at: is in the past"},
		"end before start":         {args: []string{"--start-at", "3h", "--end-at", "2h"}, code: exitUsage, says: "end_at: is not after start_at"},
		"no time":                  {args: []string{"--start-at", "soon"}, code: exitUsage, says: "--start-at"},
		"otp":                      {args: []string{"--priority", "otp"}, code: exitUsage, says: "priority: use bulk or normal"},
		"no number of ours":        {args: []string{"--from", "12"}, code: exitUsage, says: "from[1]: "},
		"no file":                  {args: []string{"--file", "/nowhere"}, code: exitFailed, says: "no such file"},
		"a directory":              {args: []string{"--file", "/"}, code: exitFailed, says: "is a directory"},
		"two templates":            {args: []string{"--template-file", "/nowhere"}, code: exitUsage, says: "not both"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := c.file
			if file == "" && name != "empty" {
				file = somePeople(2)
			}
			// A key of its own: the same rows are in several of these.
			got := b.run(append(of(list(t, file), "--template", hi, "--key", name), c.args...)...).want(t, c.code, "", c.says)
			if strings.Contains(got.errs, "\x1b") {
				t.Errorf("an escape reaches the terminal: %q", got.errs)
			}
			if c.code != exitDone && got.out != "" {
				t.Errorf("got %q, want no id", got.out)
			}
			if got := b.run(append(of(list(t, file), "--template", hi, "--key", name, "--dry-run"), c.args...)...); got.code != c.code {
				t.Errorf("the dry run ends with %d, want %d: %s", got.code, c.code, got.errs)
			}
		})
	}
}

// TestCampaignSender: a number that is not the account's is refused, once they are known.
func TestCampaignSender(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("run")
	receipt, err := b.client().StartSync(t.Context(), jobs.TypeSyncNumbers, "", jobs.Sync{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client().Wait(t.Context(), receipt.ID); err != nil {
		t.Fatal(err)
	}
	file := list(t, somePeople(1))
	b.run(of(file, "--template", "Hi", "--from", "+12125550100")...).want(t, exitUsage, "", "from: …0100 is not among the account's")
	b.run(of(file, "--template", "Hi", "--from", "+12125550100", "--dry-run")...).want(t, exitUsage, "", "from: …0100 is not among the account's")
}

// slowly gives a text, and then waits for the end.
type slowly struct {
	io.Reader
	ctx context.Context
}

func (s slowly) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		<-s.ctx.Done()
	}
	return n, err
}

// cutting interrupts the command when it says a text.
type cutting struct {
	bytes.Buffer
	text string
	cut  func()
}

func (c *cutting) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cut()
	}
	return c.Buffer.Write(p)
}

// TestCampaignInterrupted: Ctrl-C leaves nothing half done, and the same command goes on.
func TestCampaignInterrupted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	b.runWith(ctx, slowly{strings.NewReader(somePeople(3)), ctx}, of("-", "--template", "Hi")...).want(t, exitFailed, "", "copy standard input")

	// Before the first recipient is taken: what is there waits for the same command.
	cut, cancel := context.WithCancel(t.Context())
	args := of(list(t, somePeople(700)), "--template", "Hi", "--start-at", "2h")
	errs := &cutting{text: "campaign ", cut: cancel}
	code := run(cut, args, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: io.Discard, errs: errs})
	if code != exitFailed || !strings.Contains(errs.String(), "interrupted before the first row was taken: nothing was started; the campaign stays a draft") {
		t.Errorf("got code %d and %s", code, errs)
	}
	b.run("campaign", "list").want(t, exitDone, "draft", "")
	b.run(args...).want(t, exitDone, "", "700 recipients taken of 700 rows\n")
}

// TestCampaignDryRun says what would happen, and does nothing.
func TestCampaignDryRun(t *testing.T) {
	t.Parallel()
	b := setup(t).with("SEGMENT_PRICE", "0.01", "RATE_SMS_PER_SECOND", "2")
	b.run("optout", "add", "+12065550203").want(t, exitDone, "", "")
	before := b.keys()
	text := "It’s " + strings.Repeat("spring ", 20)
	file := list(t, somePeople(5)+"+12065550200,Again\n1,Short\n+12065550299,Zoë\n")
	args := of(file, "--template", text+"{{name}}", "--dry-run")
	got := b.run(args...).want(t, exitDone, "messages  5\n", "line 8: phone: ")
	for _, line := range []string{
		"segments  15 (5 texts of 3, all in UCS-2)", "about $0.15, at $0.01 a segment", "1 duplicate, 1 opted out, 1 invalid", "hours     always",
		"at the earliest (in ", "), at 2/s and with nothing else to send", "’ (U+2019)  template, line 1, character 3", "write '",
		"ë (U+00EB)  name, 1 row from line 9 on", "nothing in ASCII says the same", "The template below says the same in 8 segments less, about $0.08:\n  It's spring",
	} {
		if !strings.Contains(got.out, line) {
			t.Errorf("it does not say %q:\n%s", line, got.out)
		}
	}
	b.run(append(args, "--json")...).want(t, exitDone, `"plain_saves": 8`, "")
	if after := b.keys(); !slices.Equal(before, after) {
		t.Errorf("the dry run has changed Redis: got keys %q, want %q", after, before)
	}
}

func (b *bundle) keys() []string {
	b.t.Helper()
	keys, err := b.db.Client().Keys(b.t.Context(), "*").Result()
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// TestReadBar: the bar is as wide as it may be, and shows how far it is.
func TestReadBar(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for width, want := range map[int]string{
		0:   "reading 25%  1,500 rows, 750/s",
		80:  "reading ███████░░░░░░░░░░░░░░░░░░░░░░░  25%  1,500 rows, 750/s",
		200: "reading ███████░░░░░░░░░░░░░░░░░░░░░░░  25%  1,500 rows, 750/s",
		40:  "reading █░░░░░░  25%  1,500 rows, 750/s",
	} {
		bar := readBar{width: width, label: "reading", total: 400, read: 100, count: 1500, began: now.Add(-2 * time.Second)}
		got := bar.line(now)
		if got != want || len([]rune(got)) > cmp.Or(width, 80) {
			t.Errorf("width %d: got %q, want %q", width, got, want)
		}
	}
}
