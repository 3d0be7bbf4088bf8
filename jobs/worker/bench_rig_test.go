package worker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// benchRig is a simulated account, a Redis database and a producer, for a worker
// process to be measured.
type benchRig struct {
	*testing.B
	sim  *flowroutetest.Server
	db   *redistest.DB
	rdb  redis.UniversalClient
	jobs *jobs.Client
}

func newBenchRig(b *testing.B, db *redistest.DB, o flowroutetest.Options) benchRig {
	b.Helper()
	o.KeepRequests = 1
	r := benchRig{B: b, sim: flowroutetest.NewServer(b, o), db: db, rdb: db.Client()}
	client, err := jobs.NewClient(r.rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r.jobs = client
	return r
}

// enqueue asks for messages, in order.
func (r benchRig) enqueue(messages ...jobs.Message) {
	r.Helper()
	_, errs := r.jobs.SendMany(r.Context(), messages)
	for _, err := range errs {
		if err != nil {
			r.Fatal(err)
		}
	}
}

// backlog is so many messages of each sender, all of the first, then all of the second.
func backlog(priority string, of int, senders ...string) []jobs.Message {
	var messages []jobs.Message
	for _, sender := range senders {
		for i := range of {
			messages = append(messages, jobs.Message{From: sender, To: theirs, Body: fmt.Sprint("hello ", i), Priority: priority})
		}
	}
	return messages
}

// spawn starts a worker process and returns when it is ready to begin.
func (r benchRig) spawn(o benchOrder) *benchProcess {
	r.Helper()
	o.Redis, o.API, o.AccessKey, o.SecretKey = r.db.URL, r.sim.URL, r.sim.AccessKey, r.sim.SecretKey
	if *benchProfile != "" {
		o.Profile = *benchProfile + map[bool]string{true: ".plain"}[o.Plain]
	}
	order, err := json.Marshal(o)
	if err != nil {
		r.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		r.Fatal(err)
	}
	p := &benchProcess{TB: r.B, cmd: exec.Command(os.Args[0], "-test.run=^TestBenchChild$"), reports: bufio.NewScanner(read)}
	p.cmd.Env = append(os.Environ(), benchEnv+"="+string(order))
	p.cmd.Stderr, p.cmd.ExtraFiles = os.Stderr, []*os.File{write}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		r.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	_ = write.Close() // the child has it
	r.Cleanup(func() {
		_ = p.cmd.Process.Kill() // unless it has ended
		_ = p.cmd.Wait()
		_ = read.Close()
	})
	p.report()
	return p
}

// benchProcess is a worker process.
type benchProcess struct {
	testing.TB
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *bufio.Scanner
}

// tell lets the process begin, the first time, and returns what it has used so far.
func (p *benchProcess) tell() usage {
	p.Helper()
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		p.Fatal(err)
	}
	return p.report()
}

func (p *benchProcess) report() (u usage) {
	p.Helper()
	if !p.reports.Scan() {
		p.Fatalf("the worker process has ended: %v", p.reports.Err())
	}
	if err := json.Unmarshal(p.reports.Bytes(), &u); err != nil {
		p.Fatal(err)
	}
	return u
}

// end lets the process end in order.
func (p *benchProcess) end() {
	p.Helper()
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.Fatalf("the worker process: %v", err)
	}
}

// until waits for something that takes a while, at most for so long.
func (r benchRig) until(patience time.Duration, holds func() bool) {
	r.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-over.C:
			r.Fatalf("did not come in %v; the account has seen %+v", patience, r.sim.Counts())
		}
	}
}

// info sums up fields of Redis' INFO; 0 where an imitation does not tell them.
func (r benchRig) info(fields ...string) (sum float64) {
	r.Helper()
	for line := range strings.Lines(r.rdb.Info(r.Context(), "cpu", "memory").Val()) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		if value, err := strconv.ParseFloat(text, 64); err == nil && slices.Contains(fields, name) {
			sum += value
		}
	}
	return sum
}

// quantile of some durations, in milliseconds.
func quantile(list []time.Duration, q float64) float64 {
	slices.Sort(list)
	return list[min(int(q*float64(len(list))), len(list)-1)].Seconds() * 1000
}

// pause waits; what is measured goes on meanwhile.
func (r benchRig) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
