package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// Plan is everything that is drawn before a run: what is asked for, and what goes
// wrong. One seed and the same options make the same plan.
type Plan struct {
	Items []Item // in the order in which they are asked for
	Steps []Step // in the order of their times
	// Campaigns come beside the items.
	Campaigns []Campaign
}

// Item is one job that the producer asks for. One of Message, Purchase, Update and
// Sync is set.
type Item struct {
	At       time.Duration // since the start
	Message  *jobs.Message
	Purchase *jobs.Purchase
	Update   *jobs.RouteUpdate
	Sync     string
	Plain    string        // a message as a plain asynq task with this id
	Later    time.Duration // a message's SendAt, from the moment it is asked for
	Again    bool          // asked for a second time at once, as a producer that is not sure would
	Cancel   bool
	Block    string // a purchase: the digits that only this job's candidates begin with
}

// Key is the producer's key, or what stands for one; empty: it cannot be repeated.
func (i Item) Key() string {
	switch {
	case i.Plain != "":
		return i.Plain
	case i.Message != nil:
		return i.Message.Key
	case i.Purchase != nil:
		return i.Purchase.Key
	case i.Update != nil:
		return i.Update.Key
	}
	return i.Sync
}

// Numbers of the simulated account and of its recipients.
const (
	senders    = 10
	recipients = 4000
	hotPairs   = 3 // recipients that many messages go to
	blockOf    = "1206557"
	blockSize  = 5
	shared     = 30 // numbers that several purchases want
	routeIDs   = 1000
	updatedNos = 8 // numbers whose routes are updated
)

func sender(n int) string { return fmt.Sprintf("1206555010%d", n) }

// NewPlan draws a plan.
func NewPlan(o Options) Plan {
	o.setDefaults()
	p := Plan{}
	p.Items = newLoad(o, rand.New(rand.NewPCG(o.Seed, 1)))
	p.Steps = newTrouble(o, rand.New(rand.NewPCG(o.Seed, 2)))
	p.Campaigns = newCampaigns(o, rand.New(rand.NewPCG(o.Seed, 5)))
	return p
}

// load draws the items.
type load struct {
	o     Options
	rng   *rand.Rand
	to    []string
	items []Item
	texts []int // items with a message that may get a twin
}

func newLoad(o Options, rng *rand.Rand) []Item {
	l := &load{o: o, rng: rng, to: validNumbers(recipients)}
	kinds := make([]byte, 0, o.Messages+o.Purchases+o.Routes)
	for kind, n := range map[byte]int{'m': o.Messages, 'p': o.Purchases, 'r': o.Routes, 's': 6} {
		kinds = append(kinds, slices.Repeat([]byte{kind}, n)...)
	}
	slices.Sort(kinds) // a map has no order
	rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	counts := map[byte]int{}
	for n, kind := range kinds {
		item := Item{}
		switch kind {
		case 'p':
			item = l.purchase(counts[kind])
		case 'r':
			item = l.update(counts[kind])
		case 's':
			item.Sync = "sync " + strconv.Itoa(counts[kind])
		default:
			item = l.message(n)
		}
		counts[kind]++
		item.At = time.Duration(float64(o.For) * float64(n) / float64(len(kinds)))
		l.items = append(l.items, item)
	}
	return l.items
}

// validNumbers are numbers in exchanges that are in use, spread over several.
func validNumbers(n int) []string {
	var list []string
	for line := 100; len(list) < n; line++ {
		for exchange := 220; exchange < 990 && len(list) < n; exchange += 7 {
			number := fmt.Sprintf("1212%d%04d", exchange, line)
			if _, err := flowroute.ParseE164("+" + number); err == nil {
				list = append(list, number)
			}
		}
	}
	return list
}

func (l *load) message(n int) Item {
	m := &jobs.Message{From: "+" + sender(l.rng.IntN(senders)), To: "+" + l.to[l.rng.IntN(len(l.to))], Body: l.body(n), Key: "key " + strconv.Itoa(n)}
	item := Item{Message: m}
	switch draw := l.rng.IntN(100); {
	case draw < 1:
		m.From, m.To = "+"+sender(0), "+"+l.to[l.rng.IntN(hotPairs)]
	case draw < 11 && len(l.texts) > 0:
		// A twin: wanted twice, by two keys.
		first := l.items[l.texts[len(l.texts)-1-l.rng.IntN(min(20, len(l.texts)))]].Message
		m.From, m.To, m.Body, m.IsMMS = first.From, first.To, first.Body, first.IsMMS
	case draw < 21:
		mms := true
		m.IsMMS = &mms
	}
	m.Priority = []string{"otp", "normal", "normal", "bulk", "bulk"}[l.rng.IntN(5)]
	switch draw := l.rng.IntN(100); {
	case draw < 6:
		item.Later = time.Duration(l.rng.Float64() * float64(l.o.For) / 4)
	case draw < 14:
		m.Key = ""
	case draw < 20:
		item.Plain = "task " + strconv.Itoa(n)
		m.Key, m.Priority = "", ""
	case draw < 26:
		item.Again = true
	case draw < 30:
		item.Cancel = true
	}
	l.texts = append(l.texts, n)
	return item
}

// body is a text of its own for each message, some with what records change.
func (l *load) body(n int) string {
	text := "Message " + strconv.Itoa(n)
	switch l.rng.IntN(12) {
	case 0:
		return "  " + text + ", it\u2019s \u201cquoted\u201d  "
	case 1:
		return text + " \u00e9\u00e8 \u4f60\u597d \U0001F600"
	case 2:
		for len(text) < 300 {
			text += " and on and on"
		}
	}
	return text
}

func (l *load) purchase(n int) Item {
	p := &jobs.Purchase{Key: "buy " + strconv.Itoa(n)}
	item := Item{Purchase: p}
	switch l.rng.IntN(6) {
	case 0: // wanted by others too
		p.Number = fmt.Sprintf("+%s9%03d", blockOf, l.rng.IntN(shared))
	default:
		item.Block = fmt.Sprintf("%s%03d", blockOf, n)
		p.Search = &jobs.NumberSearch{StartsWith: item.Block}
	}
	if l.rng.IntN(2) == 0 {
		p.Alias, p.PrimaryRoute = "number "+strconv.Itoa(n), &jobs.RouteSpec{ID: "0"}
	}
	return item
}

func (l *load) update(n int) Item {
	spec := &jobs.RouteSpec{}
	if l.rng.IntN(3) > 0 {
		spec.ID = strconv.Itoa(routeIDs + n)
	} else {
		spec.Type, spec.Value, spec.Alias = "host", madeRoute(n), "made"+strconv.Itoa(n)
	}
	u := &jobs.RouteUpdate{Number: "+" + sender(l.rng.IntN(updatedNos)), Primary: spec, Key: "route " + strconv.Itoa(n)}
	if l.rng.IntN(2) == 0 {
		u.Primary, u.Failover = nil, spec
	}
	return Item{Update: u}
}

func madeRoute(n int) string { return fmt.Sprintf("made%d.example.com", n) }
