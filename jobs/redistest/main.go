package redistest

import (
	"flag"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// Main is for the TestMain of a package whose tests wait for timeouts, leases and
// settle times, and need the processors for a fraction of theirs: that many of them run
// at once, unless -parallel says how many. The in-process imitation of Redis is another
// matter: it needs what there is.
func Main(m *testing.M, atOnce int) (exit int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	_, err := exec.LookPath("redis-server")
	if real := err == nil || os.Getenv("REDIS_URL") != ""; real && !given {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
	}
	return m.Run()
}
