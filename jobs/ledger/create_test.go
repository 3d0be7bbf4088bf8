package ledger_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Jobs that are created together are what they are when they are created one by one: in
// one script there may be several of one id, rows of campaigns that run or do not, refused
// and blocked ones, ones that take turns, and ones that are there already.
func TestCreatedTogetherAsOneByOne(t *testing.T) {
	t.Parallel()
	together, alone := setup(t), setup(t)
	running, paused := ledger.NewCampaignID(), ledger.NewCampaignID()
	for _, b := range []bundle{together, alone} {
		b.rdb.HSet(t.Context(), ledger.DefaultPrefix+"cp:"+running.String(), "s", "r", "bw", "0", "bp", "0")
		b.rdb.HSet(t.Context(), ledger.DefaultPrefix+"cp:"+paused.String(), "s", "p")
	}
	pick, soon := rand.New(rand.NewPCG(1, 2)), time.Now().Add(time.Hour)
	var list []ledger.NewJob
	for i := range 400 {
		job := message(t)
		if i > 0 && pick.IntN(3) == 0 {
			job.ID = list[pick.IntN(len(list))].ID
			if pick.IntN(3) == 0 { // else it may be the very call again
				job.Content[0]++
			}
			if pick.IntN(2) == 0 {
				job.Nonce = [6]byte{byte(i), byte(i >> 8), 1}
			}
		}
		switch pick.IntN(10) {
		case 0:
			job.Refused = "body: empty"
		case 1:
			job.Blocked = "opted out"
		case 2:
			job.Due = soon
		case 3:
			job.Due, job.Expires = time.Now().Add(-time.Hour), soon
		case 4:
			job.Type, job.Queue, job.Order = ledger.RouteUpdate, ledger.QueueNumbers, []string{"12065550100:voice", "12065550100:messaging"}
		case 5:
			job.ID = running.OfRow(uint32(i%7 + 1))
		case 6:
			job.ID = paused.OfRow(uint32(i + 1))
		case 7:
			job.Queue, job.Fingerprint = ledger.QueueOTP, ledger.Fingerprint{1, byte(i)}
		}
		if job.Nonce == ([6]byte{}) {
			job.Nonce = [6]byte(job.ID[10:])
		}
		list = append(list, job)
	}
	var firstErrs []error
	for round := range 2 { // in the second one all of them are there
		created, errs := together.CreateMany(t.Context(), list)
		if round == 0 {
			firstErrs = errs
		}
		for i, job := range list {
			got, gotErr := created[i], errs[i]
			want, wantErr := alone.Create(t.Context(), job)
			if got != want || !errors.Is(gotErr, wantErr) && fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Fatalf("round %d, job %d: got %+v, %v, want %+v, %v", round, i, got, gotErr, want, wantErr)
			}
		}
	}
	if diff := cmp.Diff(alone.content(t), together.content(t)); diff != "" {
		t.Errorf("in Redis (-one by one +together):\n%.4000s", diff)
	}
	held := 0
	for _, err := range firstErrs {
		if errors.Is(err, ledger.ErrHeld) {
			held++
		}
	}
	events, rows := len(together.content(t)["events"].([]string)), together.rdb.HGet(t.Context(), ledger.DefaultPrefix+"cp:"+running.String()+":n", "q").Val()
	if events < 150 || held < 10 || rows != "7" {
		t.Errorf("got %d events, %d rows of the campaign that does not run refused, %s counted of the other one's, want at least 150, at least 10, and 7", events, held, rows)
	}
}

// What Redis refuses is an error of each job that it was to be written for, and of no
// other: it can be asked for again.
func TestCreateWhatRedisRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := message(t)
	b.create(known)
	if err := b.rdb.Rename(t.Context(), ledger.DefaultPrefix+"events", "kept").Err(); err != nil {
		t.Fatal(err)
	}
	b.rdb.Set(t.Context(), ledger.DefaultPrefix+"events", "no stream", 0)
	list := []ledger.NewJob{message(t), known, message(t)}
	for i := range list {
		list[i].Nonce = [6]byte{1, byte(i)}
	}
	for i, err := range second(b.CreateMany(t.Context(), list)) {
		if (err == nil) != (i == 1) {
			t.Errorf("job %d: got %v, want errors of all but 1", i, err)
		}
	}
	b.rdb.Rename(t.Context(), "kept", ledger.DefaultPrefix+"events")
	created, errs := b.CreateMany(t.Context(), list)
	for i, err := range errs {
		if err != nil || created[i].Duplicate != (i == 1) || created[i].State != ledger.Queued {
			t.Errorf("job %d, again: got %+v, %v, want it queued", i, created[i], err)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// content is what Redis keeps of jobs, apart from times.
func (b bundle) content(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	var ids, events []string
	for _, key := range b.rdb.Keys(t.Context(), ledger.DefaultPrefix+"*").Val() {
		name := strings.TrimPrefix(key, ledger.DefaultPrefix)
		switch b.rdb.Type(t.Context(), key).Val() {
		case "string":
			all[name] = b.rdb.StrLen(t.Context(), key).Val()
			if id, ok := strings.CutPrefix(name, "j:"); ok {
				ids = append(ids, id)
				all[name] = nil
			}
		case "hash":
			fields := b.rdb.HGetAll(t.Context(), key).Val()
			delete(fields, "live") // tells when
			all[name] = len(fields)
			if name == "n" || strings.HasPrefix(name, "cp:") {
				all[name] = fields
			}
		case "zset":
			all[name] = b.rdb.ZRange(t.Context(), key, 0, -1).Val()
		case "stream":
			for _, entry := range b.rdb.XRange(t.Context(), key, "-", "+").Val() {
				events = append(events, hex.EncodeToString([]byte(entry.Values["e"].(string))))
			}
		}
	}
	slices.Sort(events) // those of one script may come in another order
	all["events"] = events
	for _, text := range ids {
		id, err := ledger.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		job := b.get(id)
		bounded := !job.Expires.IsZero() && job.Expires.Sub(job.Created).Round(time.Minute) > 0
		job.Created, job.Due, job.Expires, job.History = time.Time{}, job.Due.Truncate(time.Minute), time.Time{}, nil
		all["j:"+text] = fmt.Sprintf("bounded %t: %+v", bounded, job)
	}
	return all
}
