package events_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signedPost is a post as it came to the receiver.
func signedPost(t *testing.T) post {
	t.Helper()
	b := setup(t)
	b.send(b.rdb)
	b.begun()
	b.queue(1)
	b.wantAll()
	all, _ := b.to.got()
	return all[0]
}

// TestSignature verifies as the standard tells a receiver to, with none of our code.
func TestSignature(t *testing.T) {
	t.Parallel()
	p := signedPost(t)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(p.header.Get("webhook-id") + "." + p.header.Get("webhook-timestamp") + "." + string(p.raw)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); p.header.Get("webhook-signature") != want {
		t.Errorf("got signature %s, want %s", p.header.Get("webhook-signature"), want)
	}
	seconds, err := strconv.ParseInt(p.header.Get("webhook-timestamp"), 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -time.Second || age > time.Minute {
		t.Errorf("got timestamp %d (%v)", seconds, err)
	}
	if id := p.header.Get("webhook-id"); id != p.Events[0].ID+"_"+p.Events[len(p.Events)-1].ID {
		t.Errorf("got id %s", id)
	}
}

// TestReadmeVerifies runs the receiver's side as the README gives it, where there is a
// Python: it takes what we post, and nothing that was changed on the way.
func TestReadmeVerifies(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile("(?s)<!-- verify -->\n```python\n(.*?)```\n<!-- /verify -->").FindSubmatch(readme)
	if part == nil {
		t.Fatal("README.md has no part \"verify\"")
	}
	if lines := bytes.Count(part[1], []byte("\n")); lines > 12 {
		t.Errorf("got %d lines, want 12 at most", lines)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 here: the README's code is not run")
		return
	}
	p := signedPost(t)
	check := func(change func(headers map[string]string, body *string)) string {
		headers, body := map[string]string{}, string(p.raw)
		for name := range p.header {
			headers[strings.ToLower(name)] = p.header.Get(name)
		}
		change(headers, &body)
		in, err := json.Marshal(map[string]any{"headers": headers, "body": body, "secret": secret})
		if err != nil {
			t.Fatal(err)
		}
		const run = "\nimport sys\ngiven = json.load(sys.stdin)\n" +
			"print(len(verified(given['headers'], given['body'].encode(), given['secret'])))\n"
		command := exec.CommandContext(t.Context(), python, "-c", string(part[1])+run)
		command.Stdin = bytes.NewReader(in)
		out, err := command.Output()
		if err != nil {
			return "refused"
		}
		return strings.TrimSpace(string(out))
	}
	for name, tt := range map[string]struct {
		change func(headers map[string]string, body *string)
		want   string
	}{
		"as it came":     {func(map[string]string, *string) {}, strconv.Itoa(len(p.Events))},
		"another body":   {func(_ map[string]string, body *string) { *body = strings.Replace(*body, "queued", "failed", 1) }, "refused"},
		"another id":     {func(h map[string]string, _ *string) { h["webhook-id"] += "0" }, "refused"},
		"another time":   {func(h map[string]string, _ *string) { h["webhook-timestamp"] = "1767225600" }, "refused"},
		"no signature":   {func(h map[string]string, _ *string) { h["webhook-signature"] = "v1," }, "refused"},
		"several, valid": {func(h map[string]string, _ *string) { h["webhook-signature"] = "v1,AAAA " + h["webhook-signature"] }, strconv.Itoa(len(p.Events))},
	} {
		if got := check(tt.change); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
