package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestSendAndLook takes a message all the way, and shows it in every form.
func TestSendAndLook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := b.start("run")

	got := b.run(sent("--wait", "--key", "greeting")...).want(t, exitDone, " accepted\n", "")
	id := got.id()
	b.run(sent("--key", "greeting")...).want(t, exitDone, id+"\n", "exists already")
	b.run("send", "--from", "+12065550100", "--to", "+12065550124", "--body", "Else", "--key", "greeting").
		want(t, exitFailed, "", "use another --key")
	if n := len(b.sim.Truth().Messages); n != 1 {
		t.Errorf("got %d messages taken, want 1", n)
	}

	b.run("status", id).want(t, exitDone, "accepted", "")
	status := b.run("status", id, "--json").want(t, exitDone, "", "").json(t)
	_, body := get(t, service.url()+"/v1/messages/"+id)
	var served map[string]any
	if err := json.Unmarshal([]byte(body), &served); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(served, status); diff != "" {
		t.Errorf("status --json is not what the HTTP API answers (-api +command):\n%s", diff)
	}
	b.run("cancel", id).want(t, exitFailed, "", "too late to cancel: the job is accepted")
	b.run("status", "0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f").want(t, exitFailed, "", "no such job")

	if code := service.end(); code != exitDone {
		t.Errorf("got exit code %d after a stop, want 0\n%s", code, service.errs)
	}
}

// TestSendThatFails: the job's failure is not the command's, and has its own code.
func TestSendThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("run")
	b.known("+12065550199") // as long as the copy is behind
	args := []string{"send", "--from", "+12065550199", "--to", "+12065550123", "--body", "Hello", "--wait"}
	b.run(args...).want(t, exitJob, " failed\n", "403")
	got := b.run(append(args, "--json")...).want(t, exitJob, "", "is failed (refused)").json(t)
	if got["state"] != "failed" || got["reason"] != "refused" {
		t.Errorf("got %v, want a failed job that was refused", got)
	}
}

// TestSendFlags: each flag arrives where it should.
func TestSendFlags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := strings.NewReader("From a pipe,\ntwo lines.\r\n")
	id := b.runWith(t.Context(), in, "send", "--from", "(206) 555-0100", "--to", "206.555.0123", "--body", "-",
		"--media-url", "https://example.com/a.jpg", "--media-url", "https://example.com/b.jpg", "--priority", "bulk", "--at", "90m", "--expires-in", "10m").
		want(t, exitDone, "", "").id()
	job, err := b.client().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if job.Queue != ledger.QueueBulk || job.From.String() != "+12065550100" || job.To.String() != "+12065550123" {
		t.Errorf("got queue %s, from %v, to %v", job.Queue, job.From, job.To)
	}
	if d := time.Until(job.Due); d < 89*time.Minute || d > 90*time.Minute {
		t.Errorf("got due in %v, want 90m", d)
	}
	if d := job.Expires.Sub(job.Due); d != 10*time.Minute {
		t.Errorf("got expiry %v after due, want 10m", d)
	}
	var m struct {
		Body      string   `json:"body"`
		MediaURLs []string `json:"media_urls"`
	}
	if err := json.Unmarshal(job.Payload, &m); err != nil {
		t.Fatal(err)
	}
	if want := "From a pipe,\ntwo lines."; m.Body != want || len(m.MediaURLs) != 2 {
		t.Errorf("got body %q and %d media, want %q and 2", m.Body, len(m.MediaURLs), want)
	}
	b.run("cancel", id).want(t, exitDone, "cancelled\n", "")
	b.run("cancel", id, "--json").want(t, exitFailed, `"state": "cancelled"`, "too late")
}

// TestWaitSaysThatItNeedsAWorker, and Ctrl-C leaves the job where it is.
func TestWaitSaysThatItNeedsAWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting := b.start(sent("--wait")...)
	if !waiting.errs.await(t, waiting.done, func(line string) bool { return strings.Contains(line, "no worker is running") }) {
		t.Fatalf("it does not say that a worker is needed:\n%s", waiting.errs)
	}
	if code := waiting.end(); code != exitFailed || !strings.Contains(waiting.errs.String(), "goes on without this command") {
		t.Errorf("got code %d and %s", code, waiting.errs)
	}
}

// TestPurchaseAndRoutes buys a number whose answer is lost, and sets its routes.
func TestPurchaseAndRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sim.FailNext("purchase-accepted-then-500", 1)
	b = b.with("FLOWROUTE_TIMEOUT", "1s")
	b.start("run")

	got := b.run("numbers", "purchase", "--starts-with", "1206", "--state", "wa", "--max-setup-cost", "1", "--alias", "front desk", "--messaging",
		"--primary-route", "host:sip.example.com:5060", "--key", "desk", "--wait").want(t, exitDone, " done +12065550130\n", "")
	b.run("status", got.id(), "--json").want(t, exitDone, `"number": "+12065550130"`, "")
	b.run("numbers", "purchase", "+12065550144", "--max-setup-cost", "0.5", "--wait").want(t, exitJob, "failed", "too_expensive")
	b.run("routes", "set-failover", "+12065550130", "number:+12065550123", "--wait").want(t, exitDone, " done\n", "")
	b.run("routes", "set-primary", "+12065550131", "0", "--wait").want(t, exitJob, " failed\n", "404")

	truth := b.sim.Truth()
	if n := len(truth.Purchases); n != 1 {
		t.Fatalf("got %d purchases, want 1", n)
	}
	is := truth.Numbers["12065550130"]
	if is.Alias != "front desk" || is.PrimaryRoute == "" || is.FailoverRoute == "" || is.FailoverRoute == is.PrimaryRoute || !is.MessagingEnabled {
		t.Errorf("got %+v", is)
	}
	b.run("numbers", "show", "+12065550130", "--live").want(t, exitDone, "front desk", "")
}

// TestReadFromFlowroute covers the commands that ask the API themselves.
func TestReadFromFlowroute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("numbers", "areacodes").want(t, exitDone, "206", "")
	b.run("numbers", "areacodes", "--json").want(t, exitDone, `"id": "206"`, "")
	b.run("numbers", "exchanges", "--area-code", "206", "--max-setup-cost", "1").want(t, exitDone, "206555", "")
	list := b.run("numbers", "search", "--state", "WA", "--limit", "3", "--json").want(t, exitDone, "+1206555", "").json(t)
	if n := len(list["items"].([]any)); n != 3 {
		t.Errorf("got %d numbers, want 3", n)
	}
	b.run("numbers", "search", "--contains", "99999999").want(t, exitDone, "", "no number for sale fits")
	b.run("numbers", "show", "+12125550100", "--live").want(t, exitFailed, "", "not on the account")

	first := b.run("routes", "create", "number:(206) 555-0123", "--alias", "mobile").want(t, exitDone, "", "")
	if again := b.run("routes", "create", "number:+12065550123").want(t, exitDone, "", ""); again.out != first.out {
		t.Errorf("got route %s the second time, want %s", again.out, first.out)
	}
	b.run("routes", "list", "--live").want(t, exitDone, "mobile", "")
	// The answer is lost: the list tells.
	b.sim.FailNext("route-accepted-then-500", 1)
	b.run("routes", "create", "host:sip.example.com").want(t, exitDone, "", "")
	b.sim.FailNext("500-before", 1)
	b.run("routes", "create", "host:sip2.example.com").want(t, exitFailed, "", "repeat the command")

	wrong := b.with("FR_SECRET_KEY", "wrong")
	wrong.run("numbers", "areacodes").want(t, exitFailed, "", "credentials refused: check FR_ACCESS_KEY and FR_SECRET_KEY")
	lost := b.with("FLOWROUTE_BASE_URL", b.sim.Root+"/elsewhere")
	b.sim.AllowUnknownPaths()
	lost.run("numbers", "areacodes").want(t, exitFailed, "", "check FLOWROUTE_BASE_URL")
}

// TestDrain: what is on the wire when the stop comes is awaited and written down.
func TestDrain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := b.start("run")
	hold := b.sim.HoldNext(flowroutetest.OpSend, true)
	id := b.run(sent()...).want(t, exitDone, "", "").id()
	select {
	case <-hold.Reached():
	case <-time.After(patience):
		t.Fatal("the message was never posted")
	}
	service.stop()
	service.log("stopping: what is on the wire is awaited")
	select {
	case <-service.done:
		t.Fatal("it ended while a request was on the wire")
	default:
	}
	hold.Release()
	if code := service.wait(); code != exitDone {
		t.Errorf("got exit code %d, want 0\n%s", code, service.errs)
	}
	b.run("status", id).want(t, exitDone, "accepted", "")
}

// TestRefusesAtStart covers what run does not start with.
func TestRefusesAtStart(t *testing.T) {
	t.Parallel()
	t.Run("no redis", func(t *testing.T) {
		t.Parallel()
		proxy := redistest.New(t).Proxy(t)
		b := setup(t).with("REDIS_URL", proxy.URL, "REDIS_START_TIMEOUT", "1s")
		proxy.Cut()
		service := b.start("run")
		service.log("waiting for redis")
		if code := service.wait(); code != exitFailed || !strings.Contains(service.errs.String(), "Set REDIS_URL to a running Redis") {
			t.Errorf("got code %d and\n%s", code, service.errs)
		}
	})
	t.Run("redis that comes late", func(t *testing.T) {
		t.Parallel()
		proxy := redistest.New(t).Proxy(t)
		b := setup(t).with("REDIS_URL", proxy.URL)
		proxy.Cut()
		service := b.start("run")
		service.log("waiting for redis")
		proxy.Resume()
		service.log("running")
		b.run(sent("--wait")...).want(t, exitDone, "accepted", "")
	})
	t.Run("told to stop while waiting", func(t *testing.T) {
		t.Parallel()
		proxy := redistest.New(t).Proxy(t)
		b := setup(t).with("REDIS_URL", proxy.URL)
		proxy.Cut()
		service := b.start("run")
		service.log("waiting for redis")
		if code := service.end(); code != exitDone {
			t.Errorf("got code %d, want 0\n%s", code, service.errs)
		}
	})
	t.Run("redis that evicts", func(t *testing.T) {
		t.Parallel()
		own := redistest.Own(t, redisembed.Options{})
		if own.Kind != redisembed.KindServer {
			t.Log("no redis-server on PATH: the imitation does not evict, and is not taken for one that does")
			setup(t).with("REDIS_URL", own.URL).run("doctor").want(t, exitDone, "", "")
			return
		}
		if err := own.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
			t.Fatal(err)
		}
		b := setup(t).with("REDIS_URL", own.URL)
		b.run("run").want(t, exitFailed, "", "maxmemory-policy noeviction")
		b.run("doctor").want(t, exitFailed, "FAIL", "")
	})
	t.Run("redis that cannot wait for its disk", func(t *testing.T) {
		t.Parallel()
		// The tests' own Redis keeps no append-only file, and an old one has no WAITAOF.
		b := setup(t).with("REDIS_DURABILITY", "aof")
		if b.db.Kind == redisembed.KindServer {
			b.run("run").want(t, exitFailed, "", "REDIS_DURABILITY=aof")
			b.run("doctor").want(t, exitFailed, "REDIS_DURABILITY=aof", "")
		} else {
			t.Log("no redis-server on PATH: the imitation does not tell its version, which is no reason to refuse")
			b.run("doctor").want(t, exitDone, "REDIS_DURABILITY=aof", "")
		}
		b.run(sent()...).want(t, exitFailed, "", "doctor says more")
	})
	t.Run("jobs of another account", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if err := b.client().Ledger().Own(t.Context(), "somebody-else"); err != nil {
			t.Fatal(err)
		}
		b.run("run").want(t, exitUsage, "", "FR_ACCOUNT_ALIAS")
		b.run("doctor").want(t, exitFailed, "FAIL  ledger", "")
	})
	t.Run("port in use", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		listener, err := listenLoopback(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		b.with("HTTP_ADDR", listener.Addr().String()).run("run").want(t, exitFailed, "", "choose another HTTP_ADDR")
	})
}

// TestWrongCredentials: the service is not ready and says why, jobs wait and burn
// no attempt; with the right ones they go.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := b.with("FR_SECRET_KEY", "wrong")
	service := wrong.start("run")
	id := b.run(sent()...).want(t, exitDone, "", "").id()
	service.log("credentials refused: check FR_ACCESS_KEY and FR_SECRET_KEY")
	service.log("sending stopped until a probe succeeds")
	status, body := get(t, service.url()+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "check FR_ACCESS_KEY and FR_SECRET_KEY") {
		t.Errorf("got %d %s", status, body)
	}
	if status, _ := get(t, service.url()+"/healthz"); status != http.StatusOK {
		t.Errorf("got healthz %d, want 200", status)
	}
	if _, body := get(t, service.url()+"/"); !strings.Contains(body, "Sending has stopped") {
		t.Error("the overview does not say that sending has stopped")
	}
	wrong.run("doctor").want(t, exitFailed, "Flowroute refuses them (401)", "")
	service.end()
	job, err := b.client().Get(t.Context(), id)
	if err != nil || job.State != ledger.Queued || job.Attempts != 0 {
		t.Fatalf("got state %s after %d attempts (%v), want queued after none", job.State, job.Attempts, err)
	}

	b.start("run")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if job, err = b.client().Wait(ctx, id); err != nil || job.State != ledger.Accepted {
		t.Errorf("got %s (%v), want accepted", job.State, err)
	}
}

// TestRolesWithoutCredentials: taking jobs in and scheduling needs no key.
func TestRolesWithoutCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	intake := b.with("FR_ACCESS_KEY", "", "FR_SECRET_KEY", "", "MDR_SYNC_CRON", "*/5 * * * *", "RATE_OVERRIDES", "+12065550100=1/s", "RATE_SMS_PER_SECONDS", "1").
		start("run", "--roles", "http,scheduler")
	intake.log("tick is enqueued")
	for _, warning := range []string{"variable not known", "guarantee"} {
		intake.log(warning)
	}
	response, err := http.Post(intake.url()+"/v1/messages", "application/json", strings.NewReader(`{"from":"+12065550100","to":"+12065550123","body":"Hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var receipt struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&receipt); err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatalf("got status %d (%v), want 202", response.StatusCode, err)
	}
	if status, body := get(t, intake.url()+"/readyz"); status != http.StatusOK {
		t.Errorf("got %d %s, want ready", status, body)
	}
	b.start("run", "--roles", "worker")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if job, err := b.client().Wait(ctx, receipt.ID); err != nil || !job.State.Succeeded() {
		t.Errorf("got %s (%v), want accepted or delivered", job.State, err)
	}
	if code := intake.end(); code != exitDone {
		t.Errorf("got exit code %d, want 0", code)
	}
}
