package ledger_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets the property tests draw the same cases each time, so that a change is
// judged by what it did. Searching on is -rapid.seed=0 (draws anew), with -rapid.checks.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.seed" })
	if !given {
		if err := flag.Set("rapid.seed", "20261123"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
