package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// The table's clock: seconds after a first intent at 0. Its write deadline is 5, its
// request is over at 65, the records get 120 more: they may decide at 185.
func at(second int) time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(second) * time.Second)
}

const ours = "fr-ours"

type edit func(*question)

// id names a member of the table by one letter.
func id(name byte) ledger.ID { return ledger.ID{15: name} }

// job adds a member whose first intent and only attempt was at a second.
func job(name byte, state ledger.State, intent int) edit {
	return func(q *question) {
		q.members = append(q.members, member{
			Member: ledger.Member{ID: id(name), State: state, Attempt: 1}, account: ours,
			first: at(intent), since: at(intent + 65), ready: at(intent + 185), watched: time.Hour,
		})
	}
}

// of changes the latest member.
func of(change func(*member)) edit {
	return func(q *question) { change(&q.members[len(q.members)-1]) }
}

func rec(mdr string, second int, change ...func(*record)) edit {
	return func(q *question) {
		r := record{mdr: mdr, at: at(second), same: true}
		for _, c := range change {
			c(&r)
		}
		q.records = append(q.records, r)
	}
}

func other(r *record)   { r.same = false }
func claimed(r *record) { r.claimed = true }
func failed(r *record)  { r.refused = true }
func theirs(r *record)  { r.same, r.theirs = false, true }
func mms(r *record)     { r.mms = true }

func another(m *member) { m.content[0]++ }

// beside says that an MMS of the pair that was accepted at a second has its record.
func beside(second int) edit { return func(q *question) { q.beside = append(q.beside, at(second)) } }

func read(change func(*reading)) edit { return func(q *question) { change(&q.read) } }

// lacks says that messages accepted at these seconds are not in the read.
func lacks(seconds ...int) edit {
	return read(func(r *reading) {
		for _, second := range seconds {
			r.missing = append(r.missing, at(second))
		}
		r.known = max(r.known, len(r.missing)+1)
	})
}

func began(second int) edit  { return read(func(r *reading) { r.began = at(second) }) }
func latest(second int) edit { return read(func(r *reading) { r.latest = at(second) }) }
func passes(n int) edit      { return read(func(r *reading) { r.passes, r.equal = n, n > 1 }) }

// quiet is a read of an account on which nothing was accepted for long.
func quiet(q *question) { q.read.latest, q.read.known = time.Time{}, 0 }

func ask(edits ...edit) question {
	q := question{
		rules: rules{account: ours, settle: 2 * time.Minute, idle: 15 * time.Minute, max: time.Hour, horizon: 7 * 24 * time.Hour},
		read: reading{began: at(200), passes: 2, equal: true, reaches: true, latest: at(199), rows: 1000, known: 900,
			lag: 3 * time.Second, margin: time.Minute, slack: 2 * time.Second},
	}
	for _, e := range edits {
		e(&q)
	}
	return q
}

type want struct {
	claims  []ledger.Claim
	surplus int
	rest    ledger.Rest
	reason  ledger.Reason
	why     why
	doubts  []doubt
}

func gets(name byte, mdr string) ledger.Claim { return ledger.Claim{ID: id(name), MDR: mdr} }

var none = want{rest: ledger.RestAbsent}

func waits(w why) want { return want{why: w} }

func reviews(reason ledger.Reason, w why) want {
	return want{rest: ledger.RestReview, reason: reason, why: w}
}

func found(claims ...ledger.Claim) want { return want{claims: claims} }

// doubts says that of a message put back nobody can tell whether this record is its.
func doubts(name byte, mdr string) func(*want) {
	return func(w *want) { w.doubts = append(w.doubts, doubt{id(name), record{mdr: mdr}}) }
}

func (w want) but(change func(*want)) want { change(&w); return w }

func TestDecide(t *testing.T) {
	t.Parallel()
	a := job('a', ledger.Unknown, 0)
	for name, c := range map[string]struct {
		q    question
		want want
	}{
		"nothing open": {ask(), want{}},
		"its record":   {ask(a, rec("r1", 1)), found(gets('a', "r1"))},
		"no record":    {ask(a), none},
		"one pass":     {ask(a, passes(1)), waits(whySecond)},

		// 1: a list that is empty or lags is no proof.
		"1 accepted message missing":          {ask(a, lacks(100)), waits(whyMissing)},
		"1 missing one is from before":        {ask(a, lacks(-100)), none},
		"1 missing one came after the window": {ask(a, lacks(190)), none},
		"1 missing for an hour":               {ask(a, lacks(100), began(65+3600), latest(3600)), reviews(ledger.ReasonNotCurrent, whyMissing)},
		"1 none accepted since the deadline":  {ask(a, latest(150)), waits(whyQuiet)},
		"1 lag of half the settle time":       {ask(a, read(func(r *reading) { r.lag = time.Minute })), waits(whyLag)},
		"1 lag just below":                    {ask(a, read(func(r *reading) { r.lag = time.Minute - time.Millisecond })), none},
		"1 lag, for an hour":                  {ask(a, began(65+3600), latest(3600), read(func(r *reading) { r.lag = time.Minute })), reviews(ledger.ReasonNotCurrent, whyLag)},
		"1 later ones accepted, none listed":  {ask(a, latest(150), lacks(195), began(2000)), waits(whyMissing)},
		"1 all that is known is missing":      {ask(a, quiet, began(2000), read(func(r *reading) { r.known, r.missing = 1, []time.Time{at(-5000)} })), waits(whyMissing)},
		"1 quiet, not long enough":            {ask(a, quiet, began(155+899)), waits(whyQuiet)},
		"1 quiet, long enough":                {ask(a, quiet, began(155+900)), none},
		"1 quiet, and an empty list":          {ask(a, quiet, began(2000), read(func(r *reading) { r.rows = 0 })), waits(whyEmpty)},
		"1 quiet and empty for an hour":       {ask(a, quiet, began(65+3600), read(func(r *reading) { r.rows = 0 })), reviews(ledger.ReasonNotCurrent, whyEmpty)},
		"1 memory does not go back":           {ask(a, read(func(r *reading) { r.reaches = false })), waits(whyReach)},
		"1 memory does not go back, an hour":  {ask(a, began(65+3600), read(func(r *reading) { r.reaches = false })), reviews(ledger.ReasonBeyondReach, whyReach)},
		"1 found in a list that lags":         {ask(a, rec("r1", 1), lacks(100), latest(100)), found(gets('a', "r1"))},

		// 2: presence and absence need different keys.
		"2 other text":                     {ask(a, rec("r1", 1, other)), reviews(ledger.ReasonNearMatch, whyNear)},
		"2 other text, list not current":   {ask(a, rec("r1", 1, other), lacks(100)), waits(whyMissing)},
		"2 other text, lagging for long":   {ask(a, rec("r1", 1, other), lacks(100), began(65+3600)), reviews(ledger.ReasonNearMatch, whyMissing)},
		"2 other text, another job's":      {ask(a, rec("r1", 1, other, claimed)), none},
		"2 other text, another open job's": {ask(a, rec("r1", 1, theirs)), waits(whyTheirs)},
		"2 a record of whomever":           {ask(a, read(func(r *reading) { r.blurred = true })), waits(whyBlurred)},
		"2 one of theirs, one of nobody":   {ask(a, rec("r1", 1, theirs), rec("r2", 2, other)), reviews(ledger.ReasonNearMatch, whyNear)},
		"2 other text, from long before":   {ask(a, rec("r1", -61, other)), none},
		"2 other text, within the margin":  {ask(a, rec("r1", -59, other)), reviews(ledger.ReasonNearMatch, whyNear)},

		// 3: twins.
		"3 twin on the wire":           {ask(a, job('b', ledger.Sending, 100), rec("r1", 1)), waits(whySending)},
		"3 twin not due":               {ask(a, job('b', ledger.Unknown, 100), rec("r1", 1)), waits(whyEarly)},
		"3 two records":                {ask(job('b', ledger.Unknown, 5), a, rec("r2", 6), rec("r1", 1)), found(gets('a', "r1"), gets('b', "r2"))},
		"3 one record for two":         {ask(a, job('b', ledger.Unknown, 5), rec("r1", 1)), found(gets('a', "r1")).but(func(w *want) { w.rest = ledger.RestAbsent })},
		"3 one record, not current":    {ask(a, job('b', ledger.Unknown, 5), rec("r1", 1), lacks(50)), found(gets('a', "r1")).but(func(w *want) { w.why = whyMissing })},
		"3 id pending first":           {ask(a, job('b', ledger.Accepted, 5), rec("r1", 6)), found(gets('b', "r1")).but(func(w *want) { w.rest = ledger.RestAbsent })},
		"3 id pending without record":  {ask(a, job('b', ledger.Accepted, 5)), waits(whyPending)},
		"3 pending alone, for an hour": {ask(job('b', ledger.Accepted, 0), began(65+3600)), reviews(ledger.ReasonNoRecord, whyPending)},
		"3 too old for the later twin": {ask(job('b', ledger.Unknown, 400), rec("r1", 1), began(600), latest(599)), reviews(ledger.ReasonNearMatch, whyNear)},
		"3 to the one it can be of":    {ask(a, job('b', ledger.Accepted, 400), rec("r1", 1), began(600), latest(599)), found(gets('a', "r1")).but(func(w *want) { w.why = whyPending })},

		// 9: clocks and configurations.
		"9 Redis' clock jumped":              {ask(a, of(func(m *member) { m.watched = 3 * time.Second }), rec("r1", 1)), waits(whyEarly)},
		"9 jumped, quiet":                    {ask(a, quiet, began(2000), of(func(m *member) { m.watched = 14 * time.Minute })), waits(whyQuiet)},
		"9 sender gave more time":            {ask(a, of(func(m *member) { m.ready = at(500) }), rec("r1", 1)), waits(whyEarly)},
		"9 control before our, after theirs": {ask(a, of(func(m *member) { m.ready = at(200) }), latest(169)), waits(whyQuiet)},
		"9 Flowroute's clock is off":         {ask(a, rec("r1", 1), read(func(r *reading) { r.offset = 301 * time.Second })), waits(whyClock)},
		"9 off for an hour":                  {ask(a, began(65+3600), read(func(r *reading) { r.offset = -301 * time.Second })), reviews(ledger.ReasonNotCurrent, whyClock)},
		"9 off by less":                      {ask(a, rec("r1", 1), read(func(r *reading) { r.offset = 299 * time.Second })), found(gets('a', "r1"))},

		// 10: edges of the window.
		"10 stamped before the intent": {ask(a, rec("r1", -1)), found(gets('a', "r1"))},
		"10 stamped much later":        {ask(a, rec("r1", 240), began(400), latest(399)), found(gets('a', "r1"))},
		"10 clock not learned":         {ask(a, rec("r1", -500), read(func(r *reading) { r.margin = 10 * time.Minute })), found(gets('a', "r1"))},
		"10 clock learned":             {ask(a, rec("r1", -500)), reviews(ledger.ReasonNearMatch, whyNear)},

		// 11: several attempts.
		"11 both were accepted":     {ask(a, twice, rec("r1", 1), rec("r2", 300), began(600), latest(599)), found(gets('a', "r1"), gets('a', "r2")).but(surplus(1))},
		"11 the first, late":        {ask(a, twice, rec("r1", 1), began(600), latest(599)), found(gets('a', "r1"))},
		"11 first has its own":      {ask(a, job('b', ledger.Unknown, 5), twice, rec("r1", 1), rec("r2", 6), rec("r3", 300), began(600), latest(599)), found(gets('a', "r1"), gets('b', "r2"), gets('b', "r3")).but(surplus(1))},
		"11 earlier post, accepted": {ask(a, of(func(m *member) { m.pinned = true })), waits(whyPending)},

		// 12: put back, and its record came.
		"12 put back":             {ask(job('p', ledger.Queued, 0), rec("r1", 1)), found(gets('p', "r1"))},
		"12 put back, no record":  {ask(job('p', ledger.Queued, 0)), want{}},
		"12 after the open one":   {ask(job('p', ledger.Queued, 0), job('b', ledger.Unknown, 5), rec("r1", 6)), found(gets('b', "r1"))},
		"12 both":                 {ask(job('p', ledger.Queued, 0), job('b', ledger.Unknown, 5), rec("r1", 1), rec("r2", 6)), found(gets('b', "r1"), gets('p', "r2"))},
		"12 with a person":        {ask(job('r', ledger.Review, 0), rec("r1", 1)), found(gets('r', "r1"))},
		"12 open, one with a man": {ask(job('r', ledger.Review, 0), job('b', ledger.Unknown, 5)), none},

		// 33: rows move while they are read.
		"33 passes differ":              {ask(a, read(func(r *reading) { r.equal = false })), waits(whyUnsteady)},
		"33 for an hour":                {ask(a, began(65+3600), latest(3600), read(func(r *reading) { r.equal = false })), reviews(ledger.ReasonNotCurrent, whyUnsteady)},
		"33 differ, but it is there":    {ask(a, rec("r1", 1), read(func(r *reading) { r.equal = false })), found(gets('a', "r1"))},
		"33 a twin's time is its own":   {ask(a, job('b', ledger.Unknown, 3000), lacks(3100), began(65+3600), latest(3600)), waits(whyMissing)},
		"33 but not without an end":     {ask(a, job('b', ledger.Unknown, 7000), lacks(3100), began(65+7200), latest(7200)), reviews(ledger.ReasonNotCurrent, whyMissing)},
		"34 read before the last post":  {ask(a, of(func(m *member) { m.ready, m.Attempt = at(900), 2 })), waits(whyEarly)},
		"35 other account":              {ask(a, of(func(m *member) { m.account = "fr-theirs" })), reviews(ledger.ReasonOtherAccount, whyAccount)},
		"35 other account, a record":    {ask(a, of(func(m *member) { m.account = "fr-theirs" }), rec("r1", 1)), reviews(ledger.ReasonOtherAccount, whyAccount)},
		"35 put back by another":        {ask(job('p', ledger.Queued, 0), of(func(m *member) { m.account = "fr-theirs" }), job('b', ledger.Unknown, 5)), none},
		"18 more records than posts":    {ask(a, rec("r1", 1), rec("r2", 90)), reviews(ledger.ReasonForeignTraffic, whyForeign)},
		"18 the accepted one keeps its": {ask(a, job('b', ledger.Accepted, 5), rec("r1", 1), rec("r2", 6), rec("r3", 90)), found(gets('b', "r1")).but(func(w *want) { w.rest, w.reason, w.why = ledger.RestReview, ledger.ReasonForeignTraffic, whyForeign })},
		"23 beyond the horizon":         {ask(a, began(8*24*3600), rec("r1", 1)), reviews(ledger.ReasonBeyondReach, whyHorizon)},

		// 40: a refusal may leave a record.
		"40 a refusal's record":   {ask(a, rec("r1", 1, failed)), reviews(ledger.ReasonNearMatch, whyNear)},
		"40 split":                {ask(a, rec("r1", 1, func(r *record) { r.parts = []string{"r2", "r3"} })), found(gets('a', "r1"), gets('a', "r2"), gets('a', "r3"))},
		"40 MMS":                  {ask(a, rec("r1", 1, mms)), found(gets('a', "r1"))},
		"40 MMS broken up":        {ask(a, rec("r1", 1, mms), rec("r2", 2, mms)), found(gets('a', "r1"), gets('a', "r2"))},
		"40 or two MMS":           {ask(a, job('b', ledger.Unknown, 1), rec("r1", 1, mms), rec("r2", 2, mms)), reviews(ledger.ReasonNearMatch, whyNear).but(claims(gets('a', "r1")))},
		"40 two MMS apart":        {ask(a, job('b', ledger.Unknown, 15), rec("r1", 1, mms), rec("r2", 16, mms)), found(gets('a', "r1"), gets('b', "r2"))},
		"40 MMS, two texts":       {ask(a, job('b', ledger.Unknown, 1), of(another), rec("r1", 2, mms)), reviews(ledger.ReasonNearMatch, whyNear)},
		"40 MMS, enough for both": {ask(a, job('b', ledger.Unknown, 20), of(another), rec("r1", 1, mms), rec("r2", 21, mms), began(400), latest(399)), found(gets('a', "r1"), gets('b', "r2"))},
		"40 MMS, by its time":     {ask(a, job('b', ledger.Unknown, 2000), of(another), rec("r1", 2001, mms), began(2200), latest(2199)), none.but(claims(gets('b', "r1")))},
		"40 MMS from before":      {ask(a, rec("r1", -3, mms)), reviews(ledger.ReasonNearMatch, whyNear)},
		"40 MMS behind a fence":   {ask(a, rec("r1", 1, mms), read(func(r *reading) { r.fenced = true })), reviews(ledger.ReasonNearMatch, whyNear)},
		"40 MMS, a lost one's": {ask(job('a', ledger.Accepted, 0), rec("r1", 1, mms), rec("r2", 8, mms), read(func(r *reading) { r.fenced = true })),
			found(gets('a', "r1"))},
		"40 MMS again, and a twin's": {ask(job('a', ledger.Accepted, 0), of(func(m *member) { m.Attempt = 2 }), job('b', ledger.Unknown, 7), rec("r1", 7, mms), rec("r2", 8, mms), began(400), latest(399)),
			reviews(ledger.ReasonNearMatch, whyNear).but(claims(gets('a', "r1")))},
		"40 put back, a lost one's": {ask(job('p', ledger.Queued, 0), rec("r1", 1, mms), read(func(r *reading) { r.fenced = true })), want{}},
		"40 beside a twin's MMS":    {ask(a, beside(-9), rec("r1", 1, mms)), reviews(ledger.ReasonNearMatch, whyNear)},
		"40 after a twin's MMS":     {ask(a, beside(-10), rec("r1", 1, mms)), found(gets('a', "r1"))},
		"40 beside, not current":    {ask(a, beside(1), rec("r1", 1, mms), lacks(100)), waits(whyMissing)},
		"40 beside, accepted":       {ask(job('a', ledger.Accepted, 0), beside(1), rec("r1", 1, mms)), found(gets('a', "r1"))},
		"40 beside, put back":       {ask(job('p', ledger.Queued, 0), beside(1), rec("r1", 1, mms)), want{}.but(doubts('p', "r1"))},
		"40 a twin's part, put back": {ask(job('a', ledger.Accepted, 1), job('p', ledger.Queued, 0), rec("r1", 2, mms), rec("r2", 3, mms)),
			found(gets('a', "r1")).but(doubts('p', "r2"))},
		"40 two parts, put back":   {ask(job('p', ledger.Queued, 0), rec("r1", 2, mms), rec("r2", 3, mms)), found(gets('p', "r1"), gets('p', "r2"))},
		"40 beside, with a person": {ask(job('p', ledger.Review, 0), beside(1), rec("r1", 1, mms)), want{}},
		"40 beside its own":        {ask(a, rec("r1", 1, failed), rec("r2", 2)), found(gets('a', "r2"))},
		"40 not current":           {ask(a, rec("r1", 1, failed), lacks(100)), waits(whyMissing)},
		"40 it is another message": {ask(a, rec("r1", 1, failed, claimed)), none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := decide(c.q)
			got := want{d.claims, d.surplus, d.rest, d.reason, d.why, nil}
			for _, in := range d.doubts {
				got.doubts = append(got.doubts, doubt{in.id, record{mdr: in.record.mdr}})
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{}, doubt{}, record{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if d.rest == ledger.RestReview && d.reason == "" {
				t.Error("review without a reason")
			}
		})
	}
}

func twice(q *question) { q.members[len(q.members)-1].Attempt = 2 }

func claims(list ...ledger.Claim) func(*want) { return func(w *want) { w.claims = list } }

func surplus(n int) func(*want) { return func(w *want) { w.surplus = n } }

// Whatever is wrong with a read, it proves nothing: of all conditions of absence
// none may fail.
func TestAbsenceNeedsEverything(t *testing.T) {
	t.Parallel()
	spoil := map[string]edit{
		"early": began(184), "not watched": of(func(m *member) { m.watched = 2*time.Minute - 1 }), "missing": lacks(100),
		"no control": func(q *question) { latest(154)(q); q.members[0].watched = 10 * time.Minute }, "lag": read(func(r *reading) { r.lag = time.Minute }), "one pass": passes(1),
		"unsteady": read(func(r *reading) { r.equal = false }), "reach": read(func(r *reading) { r.reaches = false }),
		"clock": read(func(r *reading) { r.offset = 6 * time.Minute }), "near": rec("r1", 1, other), "refused": rec("r1", 1, failed),
		"theirs": rec("r1", 1, theirs), "own": rec("r1", 1), "account": of(func(m *member) { m.account = "x" }),
	}
	if d := decide(ask(job('a', ledger.Unknown, 0))); d.rest != ledger.RestAbsent {
		t.Fatalf("nothing spoiled: got %+v, want absent", d)
	}
	for one, first := range spoil {
		for two, second := range spoil {
			for _, start := range []edit{began(200), began(3000), began(10_000)} {
				q := ask(job('a', ledger.Unknown, 0), start, first, second)
				if d := decide(q); d.rest == ledger.RestAbsent {
					t.Errorf("%s and %s: got %+v", one, two, d)
				}
			}
		}
	}
}
