package flowroutetest

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// attemptLog is how many attempts of one key and kind are kept with their
// times. Totals and MaxInWindow cover all of them.
const attemptLog = 1 << 20

// Attempt is one counted request.
type Attempt struct {
	At       time.Time `json:"at"` // has a monotonic reading unless Options.Now took it away
	Rejected bool      `json:"rejected,omitempty"`
}

// limiter counts attempts per access key and kind, rejected ones too.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	limits  Limits
	buckets map[bucketKey]*bucket
}

type bucketKey struct {
	accessKey string
	kind      Kind
}

// bucket is what one limit has seen.
type bucket struct {
	recent    []time.Time // within the last second; the first `gone` are not
	gone      int
	second    int64 // the clock's second that inSecond counts
	inSecond  int
	max       int
	attempts  int
	rejected  int
	log       []Attempt
	firstTime time.Time
	lastTime  time.Time
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	return &limiter{now: now, limits: l, buckets: map[bucketKey]*bucket{}}
}

func (l *limiter) set(limits Limits) { l.mu.Lock(); defer l.mu.Unlock(); l.limits = limits }
func (l *limiter) get() Limits       { l.mu.Lock(); defer l.mu.Unlock(); return l.limits }
func (l *limiter) reset()            { l.mu.Lock(); defer l.mu.Unlock(); clear(l.buckets) }

// count records an attempt and reports whether the limits allow it.
func (l *limiter) count(accessKey string, kind Kind, mms bool) bool {
	if kind == "" {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := l.now(), true
	for _, k := range l.kinds(kind, mms) {
		key := bucketKey{accessKey, k}
		b := l.buckets[key]
		if b == nil {
			b = &bucket{}
			l.buckets[key] = b
		}
		ok = b.add(now, l.of(k), l.limits.Window) && ok
	}
	return ok
}

// kinds are the limits a request counts in.
func (l *limiter) kinds(kind Kind, mms bool) []Kind {
	switch {
	case kind == KindSMS && mms && l.limits.MMSApart:
		return []Kind{KindMMS}
	case kind == KindSMS && mms:
		return []Kind{KindSMS, KindMMS}
	case kind == KindLookup && l.limits.LookupsShareSMS:
		return []Kind{KindLookup, KindSMS}
	}
	return []Kind{kind}
}

func (l *limiter) of(k Kind) int {
	switch k {
	case KindSMS:
		return l.limits.SMSPerSecond
	case KindMMS:
		return l.limits.MMSPerSecond
	case KindLookup:
		return l.limits.LookupsPerSecond
	default:
		return l.limits.NumbersPerSecond
	}
}

// add records an attempt at now; false means that the limit rejects it.
func (b *bucket) add(now time.Time, limit int, window WindowKind) bool {
	for b.gone < len(b.recent) && now.Sub(b.recent[b.gone]) >= time.Second {
		b.gone++
	}
	if b.gone > 1024 && b.gone*2 > len(b.recent) {
		b.recent = slices.Delete(b.recent, 0, b.gone)
		b.gone = 0
	}
	b.recent = append(b.recent, now)
	if sec := now.Unix(); sec != b.second {
		b.second, b.inSecond = sec, 0
	}
	b.inSecond++
	within := len(b.recent) - b.gone
	b.max = max(b.max, within)
	if window != WindowSliding {
		within = b.inSecond
	}
	ok := limit == 0 || within <= limit

	if b.attempts == 0 {
		b.firstTime = now
	}
	b.lastTime = now
	b.attempts++
	if !ok {
		b.rejected++
	}
	if len(b.log) < attemptLog {
		b.log = append(b.log, Attempt{At: now, Rejected: !ok})
	}
	return ok
}

// Attempts returns the first million attempts of one kind by one access key,
// in order. An empty key is Options.AccessKey.
func (s *Simulator) Attempts(accessKey string, kind Kind) []Attempt {
	if accessKey == "" {
		accessKey = s.o.AccessKey
	}
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	b := s.limits.buckets[bucketKey{accessKey, kind}]
	if b == nil {
		return nil
	}
	return slices.Clone(b.log)
}

// stats returns all buckets, ordered by key and kind.
func (l *limiter) stats() []AttemptStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]AttemptStats, 0, len(l.buckets))
	for k, b := range l.buckets {
		out = append(out, AttemptStats{AccessKey: k.accessKey, Kind: k.kind, Attempts: b.attempts, Rejected: b.rejected,
			MaxInWindow: b.max, First: b.firstTime, Last: b.lastTime})
	}
	slices.SortFunc(out, func(a, b AttemptStats) int {
		return cmp.Or(cmp.Compare(a.AccessKey, b.AccessKey), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// MaxInWindow returns the largest number of attempts within any window of
// length w: of times a and b, both count when b - a < w.
func MaxInWindow(attempts []Attempt, w time.Duration) int {
	most, first := 0, 0
	for i, a := range attempts {
		for a.At.Sub(attempts[first].At) >= w {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
