package jobs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const modulePath = "github.com/flowroute-worker/flowroute-worker"

// Apps import this package: it must not bring the service with it.
func TestImportsAreLight(t *testing.T) {
	t.Parallel()
	list := goCommand(t, ".", "list", "-deps", modulePath+"/jobs")
	allowed := []string{
		modulePath + "/flowroute", modulePath + "/jobs", modulePath + "/jobs/ledger", modulePath + "/jobs/ledger/internal/record", modulePath + "/jobs/suppress",
		"github.com/hibiken/asynq", "github.com/redis/go-redis/v9", "github.com/google/uuid",
		// What asynq and go-redis need themselves.
		"github.com/cespare/xxhash/v2", "github.com/robfig/cron/v3", "github.com/spf13/cast",
		"go.uber.org/atomic", "golang.org/x/sys", "golang.org/x/time", "google.golang.org/protobuf",
	}
	for path := range strings.FieldsSeq(list) {
		host, _, _ := strings.Cut(path, "/")
		std := !strings.Contains(host, ".") || host == "vendor"
		own := strings.HasPrefix(path, modulePath)
		ok := std
		for _, prefix := range allowed {
			ok = ok || path == prefix || (!own && strings.HasPrefix(path, prefix+"/"))
		}
		if !ok {
			t.Errorf("jobs pulls in %s", path)
		}
	}
}

// A module outside this one builds against the package with nothing but what
// building this module has downloaded, and its program enqueues.
func TestOutsideModule(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	goSum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join("testdata", "outside", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	// The same versions as here, so that nothing has to be looked up.
	outside := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(goMod), "module example.com/outside")
	outside += "\nrequire " + modulePath + " v0.0.0\nreplace " + modulePath + " v0.0.0 => " + root + "\n"
	dir := t.TempDir()
	for name, content := range map[string][]byte{"go.mod": []byte(outside), "go.sum": goSum, "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	goCommand(t, dir, "build", "-o", "outside", ".")

	b := setup(t)
	run := exec.CommandContext(t.Context(), filepath.Join(dir, "outside"))
	run.Env = append(os.Environ(), "REDIS_URL="+b.db.URL)
	var out, errOut bytes.Buffer
	run.Stdout, run.Stderr = &out, &errOut
	if err := run.Run(); err != nil {
		t.Fatalf("run: %v\n%s", err, errOut.String())
	}
	if job := b.get(t, strings.TrimSpace(out.String())); job.State != ledger.Queued || job.To != number(t, to) {
		t.Errorf("job of the outside program: got %+v", job)
	}
}

// goCommand runs the go command offline and returns what it prints.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "GOTOOLCHAIN=local")
	if dir != "." {
		cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod")
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return string(out)
}
