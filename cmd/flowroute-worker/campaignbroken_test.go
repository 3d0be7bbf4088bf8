package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// brokenUpload is a campaign create that stands still in the middle of its upload: Redis
// has taken the first half of the recipients, and the command has not heard of it.
type brokenUpload struct {
	*bundle
	slow    *bundle // reaches Redis by a way that ends there
	id      ledger.ID
	held    chan struct{}
	release func()
}

// half is how many recipients of brokenPeople come before the standstill.
const half = 120

// brokenPeople is a CSV of twice half: between the halves one of them is repeated until
// the command has to write down what it has.
func brokenPeople() (file string, texts []string) {
	var b strings.Builder
	b.WriteString("phone,name\n")
	for i := range 2 * half {
		if i == half {
			b.WriteString(strings.Repeat("+12065551000,Again\n", 4000))
		}
		fmt.Fprintf(&b, "+1206555%d,Name %d\n", 1000+i, i)
		texts = append(texts, fmt.Sprintf("1206555%d Hi Name %d!", 1000+i, i))
	}
	return b.String(), texts
}

func setupBroken(t *testing.T) *brokenUpload {
	t.Helper()
	b := &brokenUpload{bundle: setup(t), held: make(chan struct{})}
	store, err := campaign.New(b.db.Client(), campaign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	flow := make(chan struct{})
	b.release = sync.OnceFunc(func() { close(flow) })
	var once sync.Once
	way, err := url.Parse(b.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	way.Host = relay(t, way.Host, func() {
		list, _, err := store.List(t.Context(), 1, ledger.ID{})
		if err != nil || len(list) == 0 || list[0].Rows == 0 {
			return
		}
		once.Do(func() {
			b.id = list[0].ID
			close(b.held)
		})
		select {
		case <-flow:
		case <-t.Context().Done():
		}
	})
	b.slow = b.with("REDIS_URL", way.String())
	return b
}

// relay passes connections on; before each piece of an answer it calls pass.
func relay(t *testing.T, upstream string, pass func()) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream)
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() {
				<-t.Context().Done()
				_, _ = client.Close(), server.Close()
			})
			running.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			running.Go(func() {
				piece := make([]byte, 32<<10)
				for {
					n, err := server.Read(piece)
					if n > 0 {
						pass()
						_, err = client.Write(piece[:n])
					}
					if err != nil {
						_ = client.Close()
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

// left checks what the broken upload has left behind.
func (b *brokenUpload) left() {
	b.t.Helper()
	store, err := campaign.New(b.db.Client(), campaign.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := store.Get(b.t.Context(), b.id)
	if err != nil || c.State != campaign.Draft || c.Rows != half {
		b.t.Fatalf("got %+v, %v, want a draft with %d recipients", c, err, half)
	}
}

// goesOn gives the same command again, and looks at who is texted then.
func (b *brokenUpload) goesOn(args, texts []string, errs *cutting) {
	b.t.Helper()
	var out bytes.Buffer
	code := run(b.t.Context(), args, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: &out, errs: errs})
	result{code, out.String(), errs.String()}.want(b.t, exitDone, b.id.String(), "goes on after the 120 recipients that are there already\n").
		want(b.t, exitDone, "", "240 recipients taken of 4,240 rows (4,000 duplicate)\n")
	b.start("run")
	b.until("done since", "campaign", "show", b.id.String())
	if got := b.reached(); !slices.Equal(got, texts) {
		b.t.Errorf("got %d texts, want each of %d once:\n%s", len(got), len(texts), strings.Join(got, "\n"))
	}
	b.run(args...).want(b.t, exitDone, b.id.String(), "nothing was added")
}

// campaignChildEnv has the arguments, as JSON, of a process that is this program.
const campaignChildEnv = "FLOWROUTE_WORKER_CAMPAIGN_CHILD"

// TestCampaignChild is the process of TestCampaignKilled, and nothing otherwise.
func TestCampaignChild(t *testing.T) {
	given, child := os.LookupEnv(campaignChildEnv)
	if !child {
		return
	}
	var args []string
	if err := json.Unmarshal([]byte(given), &args); err != nil {
		t.Fatal(err)
	}
	os.Exit(run(t.Context(), args, world{env: envconfig.OsLookuper(), environ: os.Environ(), in: strings.NewReader(""), out: os.Stdout, errs: os.Stderr}))
}

// TestCampaignKilled: kill -9 in the middle of the upload, and the same command again. It
// waits until it is certain that the other one is dead, and nobody is texted twice or left
// out.
func TestCampaignKilled(t *testing.T) {
	t.Parallel()
	b := setupBroken(t)
	file, texts := brokenPeople()
	args := of(list(t, file), "--template", "Hi {{name}}!")
	order, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCampaignChild$")
	cmd.Env = append(b.slow.environ(), campaignChildEnv+"="+string(order))
	var said bytes.Buffer
	cmd.Stderr = &said
	child, err := childproc.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Kill() })
	select {
	case <-b.held:
	case <-child.Gone():
		t.Fatalf("the command has ended: %v: %s", child.Wait(), &said)
	}
	if !child.Kill() {
		t.Fatal("the command had ended")
	}
	b.left()
	b.goesOn(args, texts, &cutting{text: "another upload", cut: func() { // nobody renews it, so that this only shortens the time
		if err := b.db.Client().PExpire(t.Context(), "{flowroute}:cp:"+b.id.String()+":u", 100*time.Millisecond).Err(); err != nil {
			t.Error(err)
		}
	}})
}

// TestCampaignInterruptedInTheMiddle: the same for Ctrl-C, after which nobody has to wait.
func TestCampaignInterruptedInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setupBroken(t)
	file, texts := brokenPeople()
	args := of(list(t, file), "--template", "Hi {{name}}!")
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-b.held
		interrupt()
		b.release()
	}()
	b.slow.runWith(ctx, strings.NewReader(""), args...).want(t, exitFailed, "", "interrupted after line 4097: nothing was started; the campaign stays a draft for 24 h, and the same command goes on with it")
	b.left()
	b.goesOn(args, texts, &cutting{text: "another upload", cut: func() { t.Error("it waits for one that has ended") }})
}

// TestCampaignTwiceAtOnce: the second command waits for the first, which lives and comes
// to its end; then there is nothing to do.
func TestCampaignTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := setupBroken(t)
	file, _ := brokenPeople()
	args := of(list(t, file), "--template", "Hi {{name}}!", "--start-at", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	first := b.slow.start(args...)
	select {
	case <-b.held:
	case <-first.done:
		t.Fatalf("the command has ended: %s", first.errs)
	}
	errs := &cutting{text: "another upload", cut: b.release}
	var out bytes.Buffer
	code := run(t.Context(), args, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: &out, errs: errs})
	result{code, out.String(), errs.String()}.want(t, exitDone, b.id.String(), "another upload").want(t, exitDone, "", "is scheduled: nothing was added")
	if code := first.wait(); code != exitDone {
		t.Errorf("the first: got code %d: %s", code, first.errs)
	}
}

// TestCampaignBesideAnother: an upload that lives and goes on is not waited for.
func TestCampaignBesideAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	args := of(list(t, somePeople(3)), "--template", "Hi", "--key", "k")
	id := campaign.Spec{Key: "k"}.ID(nil).String()
	rdb, lease := b.db.Client(), "{flowroute}:cp:"+id+":u"
	if err := rdb.Set(t.Context(), lease, "another", 10*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	errs := &cutting{text: "another upload", cut: func() { // as it does to show that it lives
		if err := rdb.PExpire(t.Context(), lease, 15*time.Second).Err(); err != nil {
			t.Error(err)
		}
	}}
	code := run(t.Context(), args, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: io.Discard, errs: errs})
	result{code, "", errs.String()}.want(t, exitFailed, "", "is going on: do this again when it has ended, which adds nobody twice; or cancel the campaign")
}
