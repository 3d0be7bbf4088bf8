package main

import "testing"

// Without a Redis to kill nothing can be proven: it says so, and that is no failure
// of the proof.
func TestTortureNeedsRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	(&bundle{t: t}).run("torture", "--quick").want(t, exitUsage, "", "torture needs a real redis-server")
}

func TestTortureChecksItsFlags(t *testing.T) {
	t.Parallel()
	b := &bundle{t: t}
	b.run("torture", "--fsync", "never").want(t, exitUsage, "", `fsync "never"`)
	b.run("torture", "--scale", "1000").want(t, exitUsage, "", "scale 1000")
	b.run("torture", "--messages", "2000000").want(t, exitUsage, "", "messages 2000000")
	b.run("torture", "now").want(t, exitUsage, "", "takes no arguments")
}
