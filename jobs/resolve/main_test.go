package resolve_test

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

// TestMain lets eight tests run at once, unless -parallel says how many: they wait for
// settle times, and need the processors for a fraction of theirs. The in-process
// imitation of Redis is another matter: it needs what there is.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	_, err := exec.LookPath("redis-server")
	if real := err == nil || os.Getenv("REDIS_URL") != ""; real && !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
