package ledger_test

import (
	"flag"
	"os"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
)

// TestMain lets the property tests draw the same cases each time, so that a change is
// judged by what it did. Searching on is -rapid.seed=0 (draws anew), with -rapid.checks.
func TestMain(m *testing.M) {
	flag.Parse()
	defaults := map[string]string{"rapid.seed": "20261123"}
	if race.Enabled { // they use one goroutine
		defaults["rapid.checks"] = "20"
	}
	flag.Visit(func(f *flag.Flag) { delete(defaults, f.Name) })
	for name, value := range defaults {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
