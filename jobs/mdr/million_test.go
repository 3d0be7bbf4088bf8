package mdr_test

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

var (
	benchRecords = flag.Int("mdr.records", 4000, "records of BenchmarkMillion; 1000000 for figures to rely on")
	benchDays    = flag.Float64("mdr.days", 0, "over how many days they are spread; 0: five a second")
)

//go:embed testdata/words.txt
var benchWords string

// childVariable makes this binary one of the processes that a measurement is about: what
// it is to do, as JSON.
const childVariable = "MDR_TEST_CHILD"

type childTask struct {
	Do      string // account, bare, sync or worker
	Records int
	Days    float64
	Now     time.Time
	URL     string
	Redis   string
	Since   time.Time
	Clock   fastClock
}

func TestMain(m *testing.M) {
	if task := os.Getenv(childVariable); task != "" {
		if err := runChild(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childResult is what bare and sync say.
type childResult struct {
	Rows     int
	Requests int
	Took     time.Duration
	Report   mdr.Report
	PeakRSS  int64 // bytes
	CPU      time.Duration
}

func runChild(text string) error {
	var task childTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	ctx := context.Background()
	if task.Do == "account" {
		return task.account()
	}
	debug.SetGCPercent(300) // as the worker does
	api, err := flowroute.New(flowroute.Options{BaseURL: task.URL, Timeout: time.Minute,
		Credentials: flowroute.Credentials{AccessKey: flowroutetest.DefaultAccessKey, SecretKey: flowroutetest.DefaultSecretKey}})
	if err != nil {
		return err
	}
	defer api.Close()
	if task.Do == "worker" {
		return task.syncForever(ctx, api)
	}
	var result childResult
	if task.Do == "bare" {
		result, err = task.bare(ctx, api)
	} else {
		result, err = task.sync(ctx, api)
	}
	if err != nil {
		return err
	}
	result.PeakRSS = peakRSS()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	result.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	return json.NewEncoder(os.Stdout).Encode(result)
}

// redisCPU is how many seconds of a processor Redis has used.
func redisCPU(b *testing.B, rdb redis.UniversalClient) (seconds float64) {
	b.Helper()
	for line := range strings.Lines(rdb.Info(b.Context(), "cpu").Val()) {
		for _, name := range []string{"used_cpu_user:", "used_cpu_sys:"} {
			if text, ok := strings.CutPrefix(line, name); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				if err != nil {
					b.Fatal(err)
				}
				seconds += n
			}
		}
	}
	return seconds
}

// rareNumber has a hundred records, all over the time.
const rareNumber = "12069990000"

// account serves an account with records, 30% of them without an end yet, until the
// standard input ends.
func (c childTask) account() error {
	sim := flowroutetest.New(flowroutetest.Options{Now: func() time.Time { return c.Now }, DeliverAfter: -1})
	defer sim.Close()
	draw, words := newMaker(5), strings.Fields(benchWords)
	reach := c.reach()
	for i := range c.Records {
		p := flowroutetest.Record{
			From: strconv.Itoa(12065550100 + draw.IntN(20)), To: fmt.Sprintf("1%d%d%04d", 200+draw.IntN(800), 200+draw.IntN(800), draw.IntN(10_000)), Body: draw.english(words, 80),
			Timestamp: c.Now.Add(-reach + time.Duration(float64(reach)/float64(c.Records)*(float64(i)+draw.Float64()))),
		}
		if draw.IntN(10) >= 3 {
			p.Code = 1004
		}
		if i%max(1, c.Records/100) == 0 {
			p.To = rareNumber
		}
		if _, err := sim.Plant(p); err != nil {
			return err
		}
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	fmt.Println(server.URL)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func (c childTask) reach() time.Duration {
	if c.Days == 0 {
		return time.Duration(c.Records) * time.Second / 5
	}
	return time.Duration(c.Days * 24 * float64(time.Hour))
}

func (m maker) english(words []string, length int) string {
	b := make([]byte, 0, length+16)
	for len(b) < length {
		b = append(append(b, words[m.IntN(len(words))]...), ' ')
	}
	return string(b[:length])
}

// bare fetches and decodes all pages and does nothing with them.
func (c childTask) bare(ctx context.Context, api *flowroute.Client) (r childResult, err error) {
	began := time.Now()
	q := flowroute.MDRQuery{Start: c.Now.Add(-c.reach() - time.Hour), End: c.Now, Limit: 1000}
	for {
		page, err := api.MDRPage(ctx, q)
		if err != nil {
			return r, err
		}
		r.Rows, r.Requests, q.Offset = r.Rows+len(page.Items), r.Requests+1, q.Offset+len(page.Items)
		if !page.More {
			r.Took = time.Since(began)
			return r, nil
		}
	}
}

func (c childTask) sync(ctx context.Context, api *flowroute.Client) (r childResult, err error) {
	o, err := redis.ParseURL(c.Redis)
	if err != nil {
		return r, err
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	store, err := mdr.New(rdb, mdr.Options{Now: func() time.Time { return c.Now }})
	if err != nil {
		return r, err
	}
	led, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		return r, err
	}
	syncer, err := mdr.NewSyncer(store, api, led, mdr.SyncerOptions{FirstReach: c.reach() + time.Hour})
	if err != nil {
		return r, err
	}
	began := time.Now()
	r.Report, err = syncer.Sync(ctx, mdr.SyncRequest{Since: c.Since})
	r.Took, r.Rows, r.Requests = time.Since(began), r.Report.Read, r.Report.Requests
	return r, err
}

// peakRSS is the most memory that this process had; 0 where the system does not say.
func peakRSS() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return kB << 10
		}
	}
	return 0
}

// child starts this binary with a task; its first line of output is handed over.
func child(b testing.TB, task childTask) (line string, stop func()) {
	b.Helper()
	line, p, in := process(b, task)
	return line, func() { _ = p.End(in.Close, 10*time.Second) }
}

// childToKill is one that does not end by itself.
func childToKill(b testing.TB, task childTask) (line string, kill func()) {
	b.Helper()
	line, p, _ := process(b, task)
	return line, func() { p.Kill() }
}

func process(b testing.TB, task childTask) (line string, p *childproc.Process, in io.Closer) {
	b.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), childVariable+"="+string(text)), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	// A pipe of its own: one of cmd's is closed when the child ends, read or not.
	stdout, theirs, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer stdout.Close()
	cmd.Stdout = theirs
	p, err = childproc.Start(cmd)
	theirs.Close()
	if err != nil {
		b.Fatal(err)
	}
	line, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.Kill()
		b.Fatalf("%s says nothing: %v", task.Do, err)
	}
	return strings.TrimSpace(line), p, stdin
}

func measured(b testing.TB, task childTask) (r childResult) {
	b.Helper()
	line, stop := child(b, task)
	defer stop()
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		b.Fatal(err)
	}
	return r
}

// measureLists reports how long pages of 100 take, in the middle of several.
func measureLists(b *testing.B, rdb redis.UniversalClient, task childTask) {
	b.Helper()
	store, err := mdr.New(rdb, mdr.Options{Now: func() time.Time { return task.Now }})
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range []struct {
		name string
		q    mdr.Query
		want int
	}{
		{"newest", mdr.Query{}, 100},
		{"halfway", mdr.Query{Until: task.Now.Add(-task.reach() / 2)}, 100},
		{"rareNumber", mdr.Query{Number: rareNumber}, 0},
		{"busyNumber", mdr.Query{Number: "12065550107"}, 100},
		{"noNumber", mdr.Query{Number: "12065559999"}, 0},
		{"inbound", mdr.Query{Direction: flowroute.Inbound}, 0},
		{"failed", mdr.Query{Delivery: flowroute.DeliveryFailed}, 0},
	} {
		var times []time.Duration
		for range 11 {
			began := time.Now()
			page, err := store.List(b.Context(), list.q)
			times = append(times, time.Since(began))
			if err != nil || len(page.Records) < list.want {
				b.Fatalf("%s: got %d records, %v; want %d", list.name, len(page.Records), err, list.want)
			}
			if list.name == "rareNumber" {
				b.ReportMetric(float64(len(page.Records)), "rareInPage")
			}
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[5].Microseconds())/1000, list.name+"-ms")
	}
}

// BenchmarkMillion syncs an account, for which a bare loop that only fetches and decodes
// the same records is the measure; then reads it all again when 30% of the records have
// changed their state; then syncs when there is nothing new.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		db := redistest.New(b)
		rdb := db.Client()
		task := childTask{Do: "account", Records: *benchRecords, Days: *benchDays, Now: newClock().now(), Redis: db.URL}
		url, stop := child(b, task)
		task.URL = url
		before := memory(b, rdb.Info(b.Context(), "memory").Val())
		task.Do = "bare"
		bare := measured(b, task)
		task.Do = "sync"
		busy := redisCPU(b, rdb)
		first := measured(b, task)
		busy = redisCPU(b, rdb) - busy
		fresh := memory(b, rdb.Info(b.Context(), "memory").Val()) - before
		if bare.Rows != *benchRecords || first.Report.New != *benchRecords {
			b.Fatalf("%d records: bare read %d, the sync stored %+v", *benchRecords, bare.Rows, first.Report)
		}
		remote := flowroutetest.Remote{Root: url}
		if _, err := remote.Complete(b.Context()); err != nil {
			b.Fatal(err)
		}
		task.Since = task.Now.Add(-task.reach() - time.Hour)
		again := measured(b, task)
		if again.Took > 3*first.Took {
			b.Logf("reading again took long: %+v", again)
		}
		task.Since = time.Time{}
		idle := measured(b, task)
		stop()
		measureLists(b, rdb, task)
		n := float64(*benchRecords)
		b.ReportMetric(100*bare.Took.Seconds()/first.Took.Seconds(), "%bare")
		b.ReportMetric(n/bare.Took.Seconds(), "bare/s")
		b.ReportMetric(n/first.Took.Seconds(), "first/s")
		b.ReportMetric(n/again.Took.Seconds(), "again/s")
		b.ReportMetric(float64(bare.CPU.Microseconds())/n, "bareCPUus/rec")
		b.ReportMetric(float64(first.CPU.Microseconds())/n, "firstCPUus/rec")
		b.ReportMetric(1e6*busy/n, "redisCPUus/rec")
		b.ReportMetric(float64(first.PeakRSS)/1e6, "firstMB")
		b.ReportMetric(float64(again.PeakRSS)/1e6, "againMB")
		b.ReportMetric(float64(fresh)/n, "freshB/rec")
		b.ReportMetric(float64(memory(b, rdb.Info(b.Context(), "memory").Val())-before)/n, "redisB/rec")
		b.ReportMetric(float64(again.Report.Changed)/n*100, "%changed")
		b.ReportMetric(float64(idle.Requests), "idleRequests")
	}
}
