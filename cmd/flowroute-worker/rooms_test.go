package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/flowroute-worker/flowroute-worker"

// rooms lists the packages from the ground up, and for each what its
// production code may import besides the standard library: other rooms, by
// their path in this module, and modules, by their names below. Arrows point
// up this list only.
func rooms() []room {
	return []room{
		{"internal/race", ""},
		{"internal/childproc", ""},
		{"internal/faultproxy", ""},
		{"flowroute", "x/sys"},
		{"ratelimit", "go-redis"},
		{"config", "go-envconfig cron"},
		{"jobs/redisconn", "go-redis"},
		{"jobs/redisembed", "internal/childproc jobs/redisconn miniredis go-redis"},
		{"jobs/redistest", "internal/faultproxy jobs/redisconn jobs/redisembed go-redis"},
		{"jobs/ledger/internal/record", ""},
		{"jobs/ledger", "flowroute jobs/ledger/internal/record go-redis uuid"},
		{"jobs/ledger/ledgertest", "jobs/ledger jobs/ledger/internal/record go-redis"},
		{"jobs/suppress", "flowroute jobs/ledger go-redis"},
		{"jobs", "flowroute jobs/ledger jobs/suppress asynq go-redis uuid"},
		{"jobs/internal/lease", "go-redis uuid"},
		{"jobs/mdr", "flowroute jobs/ledger jobs/internal/lease go-redis"},
		{"jobs/inventory", "flowroute jobs/ledger jobs/internal/lease go-redis"},
		{"jobs/internal/courier", "jobs/internal/lease go-redis"},
		{"jobs/events", "jobs/ledger jobs/internal/courier go-redis prometheus"},
		{"jobs/forward", "jobs/ledger jobs/internal/courier go-redis prometheus"},
		{"jobs/worker", "flowroute ratelimit jobs/ledger jobs jobs/internal/lease jobs/suppress jobs/mdr jobs/inventory asynq go-redis prometheus uuid"},
		{"jobs/resolve", "flowroute jobs/ledger jobs jobs/internal/lease go-redis prometheus uuid"},
		{"jobs/campaign/template", ""},
		{"jobs/campaign/intake", "flowroute jobs"},
		{"jobs/campaign/hours", "flowroute jobs phonenumbers"},
		{"jobs/campaign", "flowroute jobs/ledger jobs jobs/internal/lease jobs/suppress jobs/inventory jobs/campaign/template jobs/campaign/intake jobs/campaign/hours go-redis phonenumbers uuid"},
		{"jobs/spreadsheet", ""},
		{"jobs/reconcile", "jobs/spreadsheet flowroute jobs/ledger jobs jobs/suppress jobs/mdr jobs/inventory go-redis phonenumbers"},
		{"jobs/console", "flowroute jobs/ledger jobs jobs/suppress jobs/mdr jobs/inventory jobs/campaign jobs/reconcile asynq go-redis"},
		{"jobs/httpapi", "flowroute jobs/ledger jobs jobs/internal/lease jobs/events jobs/suppress jobs/mdr jobs/inventory jobs/campaign/template jobs/campaign/intake jobs/campaign jobs/reconcile jobs/spreadsheet jobs/console asynq asynqmon go-redis prometheus uuid"},
		{"scheduler", "jobs/ledger jobs asynq cron go-redis"},
		{"flowroute/flowroutetest", "flowroute"},
		{"torture", everything},
		{"cmd/flowroute-worker", everything},
	}
}

type room struct {
	path string
	may  string
}

// everything is the row of the command, which puts the rooms together.
const everything = "*"

// modules gives the module behind each short name of the table. Others are
// not for production code.
func modules() map[string]string {
	return map[string]string{
		"asynq":        "github.com/hibiken/asynq",
		"asynqmon":     "github.com/hibiken/asynqmon",
		"cobra":        "github.com/spf13/cobra",
		"cron":         "github.com/robfig/cron/v3",
		"go-envconfig": "github.com/sethvargo/go-envconfig",
		"go-redis":     "github.com/redis/go-redis/v9",
		"miniredis":    "github.com/alicebob/miniredis/v2",
		"phonenumbers": "github.com/nyaruka/phonenumbers",
		"prometheus":   "github.com/prometheus/client_golang",
		"uuid":         "github.com/google/uuid",
		"x/sys":        "golang.org/x/sys",
		"x/term":       "golang.org/x/term",
	}
}

func TestArrowsPointUp(t *testing.T) {
	t.Parallel()
	seen := []string{}
	for _, r := range rooms() {
		for name := range strings.FieldsSeq(r.may) {
			_, isModule := modules()[name]
			if !isModule && name != everything && !slices.Contains(seen, name) {
				t.Errorf("%s may import %s, which is neither above it nor a module", r.path, name)
			}
		}
		seen = append(seen, r.path)
	}
}

func TestImportsKeepToTheirRooms(t *testing.T) {
	t.Parallel()
	for _, found := range productionImports(t) {
		i := slices.IndexFunc(rooms(), func(r room) bool { return r.path == found.from })
		if i < 0 {
			t.Errorf("%s: package %s is not in the table of rooms", found.at, found.from)
			continue
		}
		name := shortName(found.what)
		if name == "" {
			t.Errorf("%s: %s is of no module in the table", found.at, found.what)
			continue
		}
		may := rooms()[i].may
		if may != everything && !slices.Contains(strings.Fields(may), name) {
			t.Errorf("%s: %s must not import %s", found.at, found.from, name)
		}
	}
}

// Other apps import package jobs; so nothing heavy may come along with it, not
// even by way of its own dependencies.
func TestJobsIsLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", modulePath+"/jobs").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dependency := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"asynqmon", "cobra", "prometheus", "phonenumbers", "miniredis"} {
			if within(dependency, modules()[heavy]) {
				t.Errorf("package jobs pulls in %s", dependency)
			}
		}
	}
}

// arrow is one import of something outside of the standard library.
type arrow struct {
	from string // room
	what string // import path
	at   string // file
}

// productionImports reads the source, for all platforms, without the tests.
func productionImports(t *testing.T) []arrow {
	t.Helper()
	root := filepath.Join("..", "..")
	var arrows []arrow
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && notOurs(file, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		at, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		at = filepath.ToSlash(at)
		imports, err := importsOf(file)
		for _, what := range imports {
			arrows = append(arrows, arrow{from: path.Dir(at), what: what, at: at})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(arrows) == 0 {
		t.Fatal("no imports found: is this still two directories below the root?")
	}
	return arrows
}

// importsOf lists what a file imports from outside of the standard library;
// nothing for the programs behind go:generate, which no package contains.
func importsOf(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return nil, err
	}
	for _, group := range parsed.Comments {
		if group.List[0].Text == "//go:build ignore" {
			return nil, nil
		}
	}
	var imports []string
	for _, spec := range parsed.Imports {
		what, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		// Only paths that begin with a host name have a dot there.
		if host, _, _ := strings.Cut(what, "/"); strings.Contains(host, ".") {
			imports = append(imports, what)
		}
	}
	return imports, nil
}

// notOurs says whether go would leave the directory out of the module.
func notOurs(dir, name string) bool {
	if name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// shortName is the name of an import path in the table, "" when it has none.
func shortName(importPath string) string {
	if own, found := strings.CutPrefix(importPath, modulePath+"/"); found {
		return own
	}
	for name, module := range modules() {
		if within(importPath, module) {
			return name
		}
	}
	return ""
}

func within(importPath, module string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}
