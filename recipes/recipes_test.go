// Package recipes_test runs the programs that README.md shows, each as a new
// user would, beside `flowroute-worker simulate` and `flowroute-worker run`.
package recipes_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recipe is a program, how it is run, and what has to come of it.
type recipe struct {
	name     string
	title    string // in README.md, as HTML
	language string // of the code block
	file     string
	// command runs it; none: it is built with go.
	command []string
	needs   []string // besides the first word of command
	// http: it uses the HTTP API, and the first answers to it get lost.
	http bool
	// steps are more posts of its first run, of which the first is answered at once and
	// the answers of the second get lost.
	steps int
	// prints matches what it prints, in a first and in a second run.
	prints string
	sends  []text
}

// text is a message that must be posted, and once.
type text struct{ to, body string }

// The recipes for Go and asynq are in testdata beside the others since they are
// programs of their users' kind: they read the environment, which packages of
// this module do not.
func recipes() []recipe {
	const accepted = `[0-9a-f-]{36} accepted\n`
	return []recipe{
		{
			name: "go", title: "<b>Go</b>: one message and what became of it; many messages",
			language: "go", file: "testdata/go/main.go",
			prints: `\+12065550141 accepted\n` +
				`\+12065550142 [0-9a-f-]{36} (queued|sending|accepted)\n` +
				`\(206\) 555-0143 [0-9a-f-]{36} (queued|sending|accepted)\n` +
				`555-0144 send message: to: has no country code.*\n`,
			sends: []text{
				{"12065550141", "Your order has shipped."},
				{"12065550142", "The spring sale has begun!"},
				{"12065550143", "The spring sale has begun!"},
			},
		},
		{
			name: "asynq", title: "<b>asynq</b> alone, nothing of ours imported",
			language: "go", file: "testdata/asynq/main.go",
			prints: `table-7 is queued\n`, sends: []text{{"12065550151", "Your table is ready."}},
		},
		{
			name: "curl", title: "<b>curl</b> 7.71 or newer, and a shell",
			language: "sh", file: "testdata/send.sh", command: []string{"sh"}, needs: []string{"curl", "grep", "head", "cut", "sleep"},
			http: true, prints: accepted, sends: []text{{"12065550161", "Your order is ready."}},
		},
		{
			name: "campaign", title: "<b>curl</b> again: a campaign with its recipients, until it is done",
			language: "sh", file: "testdata/campaign.sh", command: []string{"sh"}, needs: []string{"curl", "grep", "head", "tail", "cut", "sleep"},
			http: true, prints: `[0-9a-f-]{36} done\n`,
			sends: []text{{"12065550191", "Hi Ann, the sale has begun!"}, {"12065550192", "Hi there, the sale has begun!"}},
		},
		{
			name: "python", title: "<b>Python</b> 3, standard library only",
			language: "python", file: "testdata/send.py", command: []string{"python3"},
			http: true, prints: accepted, sends: []text{{"12065550171", "Your code is 8731"}},
		},
		{
			name: "python-campaign", title: "<b>Python</b> again: a campaign whose recipients are streamed, until it is done",
			language: "python", file: "testdata/campaign.py", command: []string{"python3"},
			http: true, steps: 2, prints: `[0-9a-f-]{36} done\n`,
			sends: []text{{"12065550193", "Hi Ann, we open today!"}, {"12065550194", "Hi there, we open today!"}},
		},
		{
			name: "node", title: "<b>Node</b> 18 or newer, no packages",
			language: "js", file: "testdata/send.mjs", command: []string{"node"},
			http: true, prints: accepted, sends: []text{{"12065550181", "Your appointment is at 3 pm."}},
		},
		{
			name: "node-campaign", title: "<b>Node</b> again: a campaign whose recipients are streamed, until it is done",
			language: "js", file: "testdata/campaign.mjs", command: []string{"node"},
			http: true, steps: 2, prints: `[0-9a-f-]{36} done\n`,
			sends: []text{{"12065550197", "Hi Ann, we move!"}, {"12065550198", "Hi there, we move!"}},
		},
	}
}

// TestRecipes runs each recipe twice, loses the first answers of those that use
// HTTP, and asks the simulated account what it took.
func TestRecipes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var want []text
	t.Run("each", func(t *testing.T) {
		for _, r := range recipes() {
			if missing := r.missing(); missing != "" {
				// Where all of them have to run, that is the fault of the installation.
				if os.Getenv("CI") == "true" {
					t.Errorf("%s: CI=true and no %s on PATH: install it", r.name, missing)
				}
				t.Logf("%s: no %s on PATH: not run", r.name, missing)
				continue
			}
			want = append(want, r.sends...)
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				r.test(t, s)
			})
		}
	})
	if t.Failed() {
		return
	}
	s.settle(t)
	if diff := cmp.Diff(sorted(want), sorted(s.posted(t))); diff != "" {
		t.Errorf("what the account took (-want +got):\n%s", diff)
	}
}

// missing is a program that the recipe needs and that is not there, "" when all are.
func (r recipe) missing() string {
	for _, program := range slices.Concat(r.command, r.needs) {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

func (r recipe) test(t *testing.T, s *stage) {
	url, door := s.url, (*lossyDoor)(nil)
	if r.http {
		url, door = s.lossyDoor(t, min(r.steps, 1))
	}
	prints := regexp.MustCompile(`^` + r.prints + `$`)
	var firstID string
	for _, which := range []string{"first", "second"} {
		out := r.run(t, s, url)
		if !prints.MatchString(out) {
			t.Fatalf("%s run: got %q, want %s", which, out, prints)
		}
		id := anID.FindString(out)
		if firstID == "" {
			firstID = id
		}
		if id != firstID {
			t.Errorf("%s run: got the message %s, want %s again", which, id, firstID)
		}
	}
	if want := int64(lostAnswers + r.steps + 2); r.http && door.posts.Load() != want {
		t.Errorf("got %d posts, want %d: those whose answer was lost and one for each step, and one of the second run", door.posts.Load(), want)
	}
	if r.name == "asynq" {
		s.accepted(t, "table-7")
	}
}

var anID = regexp.MustCompile(`[0-9a-f-]{36}`)

// run runs the recipe to its end and returns what it printed.
func (r recipe) run(t *testing.T, s *stage, url string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	args := append(slices.Clone(r.command), r.file)
	if len(r.command) == 0 {
		args = []string{filepath.Join(s.bin, filepath.Base(filepath.Dir(r.file)))}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// Some machines have a proxy for all of HTTP; nothing here is beyond it.
	cmd.Env = append(os.Environ(), "REDIS_URL="+s.db.URL, "WORKER_URL="+url, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, &out, &errs)
	}
	return out.String()
}

func sorted(texts []text) []string {
	var list []string
	for _, t := range texts {
		list = append(list, t.to+" "+t.body)
	}
	slices.Sort(list)
	return list
}
