package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// within80 fails the test when a line of output is wider than a terminal.
func (r result) within80(t *testing.T) result {
	t.Helper()
	for line := range strings.Lines(r.out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	return r
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	b := setup(t).with("FR_ACCESS_KEY", "", "FR_SECRET_KEY", "")
	b.run("optout", "list").want(t, exitDone, "nobody has opted out", "")
	b.run("optout", "list", "--json").want(t, exitDone, `"items": []`, "")
	const note = "asked at the counter, twice, in a loud voice"
	b.run("optout", "add", "(206) 555-0123", "--note", note).within80(t).want(t, exitDone, "+12065550123  opted out, all numbers", "")
	b.run("optout", "add", "+12065550123", "+12065550124", "--from", "4255550100").within80(t).want(t, exitDone, "+12065550124  opted out, from +14255550100", "")
	b.run("optout", "add", "+12065550123").within80(t).want(t, exitDone, "+12065550123  known since 20", "")
	got := b.run("optout", "add", "+12065550123", "--json").want(t, exitDone, "", "").json(t)["items"].([]any)[0].(map[string]any)
	if got["state"] != "known" || got["note"] != note || got["source"] != "person" || got["from"] != nil {
		t.Errorf("got %v", got)
	}

	list := b.run("optout", "list").within80(t).want(t, exitDone, "RECIPIENT", "")
	for _, text := range []string{"+12065550123  all           person  20", "+12065550123  +14255550100  person  20", "asked at the", "…"} {
		if !strings.Contains(list.out, text) {
			t.Errorf("no %q in\n%s", text, list.out)
		}
	}
	b.run("optout", "list", "--recipient", "2065550123").want(t, exitDone, note, "")
	b.run("optout", "list", "--recipient", "2065550199").want(t, exitDone, "+12065550199 has not opted out", "")
	first := b.run("optout", "list", "--limit", "1").within80(t).want(t, exitDone, "", "there are more (3 opt-outs in all): --cursor ")
	cursor := first.errs[strings.LastIndex(strings.TrimSpace(first.errs), " ")+1:]
	if rest := b.run("optout", "list", "--cursor", strings.TrimSpace(cursor), "--json").want(t, exitDone, "", "").json(t)["items"].([]any); len(rest) != 2 {
		t.Errorf("got %v behind the first", rest)
	}

	b.run("optout", "remove", "+12065550123", "--from", "+14255550100").within80(t).want(t, exitDone, "still opted out: all numbers", "")
	b.run("optout", "remove", "+12065550123").within80(t).want(t, exitDone, "removed: all numbers", "")
	b.run("optout", "remove", "+12065550123").within80(t).want(t, exitDone, "+12065550123  had not opted out", "")
	removed := b.run("optout", "remove", "+12065550124", "--json").want(t, exitDone, "", "").json(t)["items"].([]any)[0].(map[string]any)
	if removed["recipient"] != "+12065550124" || len(removed["removed"].([]any)) != 1 || len(removed["left"].([]any)) != 0 {
		t.Errorf("got %v", removed)
	}
	b.run("optout", "list").want(t, exitDone, "nobody has opted out", "")
}

func TestOptOutImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(file, []byte("\ufeffPhone;Reason\r\n2065550123;moved\r\n555;\r\n+1 206 555 0124;\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run("optout", "import", file, "--note", "old provider").within80(t).want(t, exitFailed, "added 2, known 0, invalid 1\n", "line 3: recipient: has no country code")
	b.run("optout", "list").want(t, exitDone, "moved", "")
	b.run("optout", "list").want(t, exitDone, "old provider", "")

	pipe := func(list string, args ...string) result {
		return b.runWith(t.Context(), strings.NewReader(list), append([]string{"optout", "import", "-"}, args...)...)
	}
	pipe("2065550124\n2065550125\n").want(t, exitDone, "added 1, known 1, invalid 0\n", "")
	got := pipe("2065550124\nnonsense\n", "--json").want(t, exitFailed, "", "")
	var lines []map[string]any
	for line := range strings.Lines(got.out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, v)
	}
	if len(lines) != 3 || lines[0]["state"] != "known" || lines[1]["error"].(map[string]any)["field"] != "recipient" || lines[1]["line"] != 2.0 || lines[2]["invalid"] != 1.0 {
		t.Errorf("got %v", lines)
	}
	many := pipe(strings.Repeat("nonsense\n", 50)).want(t, exitFailed, "invalid 50", "and 30 more; --json shows them all")
	if n := strings.Count(many.errs, "\n"); n != 21 {
		t.Errorf("got %d lines of errors, want 21", n)
	}
	pipe("name,note\na,b\n").want(t, exitFailed, "", "names no column for the recipient")
	pipe("").want(t, exitDone, "added 0, known 0, invalid 0", "")
	b.run("optout", "import", file+".not").want(t, exitFailed, "", "no such file")
}

func TestOptOutUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("optout").want(t, exitUsage, "", "give one of add, import, list, remove")
	b.run("optout", "add").want(t, exitUsage, "", "give one number or more")
	b.run("optout", "add", "bob").want(t, exitUsage, "", "phone number")
	b.run("optout", "add", "+12065550123", "555").want(t, exitUsage, "", "no country code")
	b.run("optout", "add", "+12065550123", "--from", "").want(t, exitUsage, "", "--from: ")
	b.run("optout", "add", "+12065550123", "--note", strings.Repeat("x", 49)).want(t, exitUsage, "", "note: has 49 bytes: use at most 48")
	b.run("optout", "remove", "+12065550123", "--from", "x").want(t, exitUsage, "", "--from: ")
	b.run("optout", "list", "--limit", "0").want(t, exitUsage, "", "from 1 to 1000")
	b.run("optout", "list", "--cursor", "x").want(t, exitUsage, "", "not a cursor")
	b.run("optout", "list", "--recipient", "x").want(t, exitUsage, "", "--recipient: ")
	b.run("optout", "import").want(t, exitUsage, "", "give a file, or - for standard input")
	b.run("optout", "import", "-", "--note", strings.Repeat("x", 49)).want(t, exitUsage, "", "note: ")
	b.run("optout", "list").want(t, exitDone, "nobody", "")
}

// TestServiceHasOptOuts: the service and the commands speak of the same list.
func TestServiceHasOptOuts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := b.start("run", "--roles", "http")
	b.run("optout", "add", "+12065550123").want(t, exitDone, "", "")
	status, body := get(t, service.url()+"/v1/optouts?recipient=%2B12065550123")
	if status != http.StatusOK || !strings.Contains(body, `"recipient":"+12065550123"`) {
		t.Errorf("got %d: %s", status, body)
	}
}

// TestOptOutScope: an opt-out of one number of ours blocks the others unless it is told
// not to.
func TestOptOutScope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("optout", "add", "+12065550123", "--from", "+12065550101").want(t, exitDone, "", "")
	send := []string{"send", "--from", "+12065550100", "--to", "+12065550123", "--body", "hello", "--json"}
	for scope, want := range map[string]string{"account": "blocked", "number": "queued"} {
		if got := b.with("OPTOUT_SCOPE", scope).run(send...).want(t, exitDone, "", "").json(t)["state"]; got != want {
			t.Errorf("OPTOUT_SCOPE=%s: got %v, want %s", scope, got, want)
		}
	}
	b.with("OPTOUT_SCOPE", "pair").run(send...).want(t, exitUsage, "", "OPTOUT_SCOPE")
}

// TestRecipientsOwnWord: who has answered STOP gets no more texts, and who takes it back
// gets them again.
func TestRecipientsOwnWord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("run", "--roles", "worker")
	says := func(word string) {
		t.Helper()
		if _, err := b.sim.Inbound("12065550123", "12065550100", word); err != nil {
			t.Fatal(err)
		}
		b.run("mdr", "sync", "--wait").want(t, exitDone, " done\n", "")
	}
	send := []string{"send", "--from", "+12065550100", "--to", "+12065550123", "--body", "hello", "--wait"}
	says("Stop!")
	b.run("optout", "list").want(t, exitDone, "stop", "")
	b.run(send...).want(t, exitJob, "blocked", "")
	says("start")
	b.run(send...).want(t, exitDone, "accepted", "")
	if got := len(b.sim.Truth().Messages); got != 1 {
		t.Errorf("the account took %d texts, want one", got)
	}
}
