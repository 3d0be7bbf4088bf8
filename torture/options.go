package torture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Fsync is when Redis brings its append-only file to the disk.
type Fsync string

// The two ways. With FsyncEverySecond a kill of Redis also takes the tail of its
// file away, as a power cut would.
const (
	FsyncAlways      Fsync = "always"
	FsyncEverySecond Fsync = "everysec"
)

// Options of a run. The zero value of each is the documented default, but for
// Child, which is required.
type Options struct {
	Seed      uint64
	Messages  int // Defaults to 10,000.
	Purchases int // Defaults to 200.
	Routes    int // route updates. Defaults to 200.
	Workers   int // processes. Defaults to 4.
	Kills     int // SIGKILLs of workers, at least. Defaults to 100. Negative: none.
	// RedisKills by SIGKILL. Defaults to 10. Negative: none, and no snapshots.
	RedisKills int
	// Scale is how many times shorter than in production times are, and half of it
	// how many times higher limits. Defaults to 40.
	Scale float64
	Fsync Fsync // Defaults to FsyncAlways.
	// For is how long jobs are asked for and trouble is made. Defaults to what the
	// messages need at a third of the limit, at least 20 s.
	For time.Duration
	// GiveUp is AMBIGUOUS_MAX: after that, what is unknown goes to a person. Defaults to
	// its hour, scaled.
	GiveUp time.Duration
	// Rest is how long after that everything may take to come to rest. Defaults to
	// twice AMBIGUOUS_MAX, scaled, and what a backlog needs.
	Rest time.Duration
	// Late makes records appear only after the settle time is over, and nothing is
	// rolled back: then nothing may be sent twice, and what the records do not
	// decide is left to a person.
	Late bool
	// Unlimited lifts the limits of messages: then workers take and end their tasks many at
	// a time.
	Unlimited bool
	// Dir is where logs and Redis' files are left. Defaults to a temporary one that
	// is removed.
	Dir string
	// Child is the program, with its arguments, that calls [Child].
	Child []string
	// Progress gets a line every few seconds. Defaults to none.
	Progress io.Writer
}

// Bounds of the options: one machine plays everybody.
const (
	maxMessages  = 1_000_000
	maxPurchases = 900
	maxWorkers   = 32
	minScale     = 10
	maxScale     = 60
)

func (o *Options) setDefaults() {
	for _, d := range []struct {
		value *int
		std   int
	}{{&o.Messages, 10_000}, {&o.Purchases, 200}, {&o.Routes, 200}, {&o.Workers, 4}, {&o.Kills, 100}, {&o.RedisKills, 10}} {
		if *d.value == 0 {
			*d.value = d.std
		}
		*d.value = max(*d.value, 0)
	}
	if o.Scale == 0 {
		o.Scale = 40
	}
	if o.Fsync == "" {
		o.Fsync = FsyncAlways
	}
	if o.For == 0 {
		perSecond := 0.3 * float64(o.usual().SMS.N)
		o.For = max(20*time.Second, time.Duration(float64(o.Messages)/perSecond*float64(time.Second)))
	}
	if o.Rest == 0 {
		o.Rest = 2*o.times().Max + o.For/2
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate reports everything that is wrong with the options.
func (o Options) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if o.Messages > maxMessages {
		bad("messages %d: at most %d", o.Messages, maxMessages)
	}
	if o.Purchases > maxPurchases {
		bad("purchases %d: at most %d", o.Purchases, maxPurchases)
	}
	if o.Workers < 0 || o.Workers > maxWorkers {
		bad("workers %d: from 1 to %d", o.Workers, maxWorkers)
	}
	if o.Scale != 0 && (o.Scale < minScale || o.Scale > maxScale) {
		bad("scale %v: from %d to %d; above, the shortest times are too short for processes that share two cores", o.Scale, minScale, maxScale)
	}
	if o.Fsync != "" && o.Fsync != FsyncAlways && o.Fsync != FsyncEverySecond {
		bad("fsync %q: %s or %s", o.Fsync, FsyncAlways, FsyncEverySecond)
	}
	if min(o.For, o.Rest, o.GiveUp) < 0 {
		bad("times are not negative")
	}
	if len(o.Child) == 0 {
		bad("no child program")
	}
	return errors.Join(problems...)
}

// times are the product's own, shortened; their order stays.
type times struct {
	Window  time.Duration // of a permit
	Path    time.Duration // to the API's counter
	Timeout time.Duration // FLOWROUTE_TIMEOUT
	Settle  time.Duration // AMBIGUOUS_SETTLE
	Idle    time.Duration // AMBIGUOUS_SETTLE_IDLE
	Max     time.Duration // AMBIGUOUS_MAX
	Explain time.Duration // how long workers may take to tell what they did
	Recover time.Duration // how long a limit takes to grow back whole after 429s
}

// times are the documented defaults by the scale. Window and Path have a floor: on
// a busy machine a process may not run for some tenths of a second.
func (o Options) times() times {
	short := func(d time.Duration) time.Duration { return time.Duration(float64(d) / o.Scale) }
	return times{
		Window:  max(short(3*time.Second), 400*time.Millisecond),
		Path:    max(short(5*time.Second), 500*time.Millisecond),
		Timeout: short(time.Minute),
		Settle:  short(2 * time.Minute),
		Idle:    short(15 * time.Minute),
		Max:     cmp.Or(o.GiveUp, short(time.Hour)),
		Explain: max(short(10*time.Second), 3*time.Second),
		Recover: short(200 * time.Second),
	}
}

// limits are the account's, as the workers know them.
func (o Options) limits() ratelimit.Limits {
	l := o.usual()
	if o.Unlimited {
		l.SMS, l.MMS = ratelimit.Rate{}, ratelimit.Rate{}
	}
	return l
}

// usual are the documented defaults by the scale.
func (o Options) usual() ratelimit.Limits {
	per := func(n float64) ratelimit.Rate {
		return ratelimit.Rate{N: max(int(n*o.Scale/2), 1), Per: time.Second}
	}
	return ratelimit.Limits{SMS: per(5), MMS: per(1), Numbers: per(4), Lookups: per(1)}
}

// simulated are the same limits as the API has them.
func (o Options) simulated() flowroutetest.Limits {
	l := o.limits()
	return flowroutetest.Limits{
		SMSPerSecond: l.SMS.N, MMSPerSecond: l.MMS.N, NumbersPerSecond: l.Numbers.N, LookupsPerSecond: l.Lookups.N,
		Window: flowroutetest.WindowSliding, LookupsShareSMS: l.LookupsShareSMS,
	}
}
