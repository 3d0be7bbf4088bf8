package hours

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// set is zones that go together. found is the last answer for them: there are
// some hundred sets, and all numbers of one have the same answer.
type set struct {
	locations []*time.Location
	found     atomic.Pointer[found]
}

// zones finds the set of a number, and remembers it for all that share its prefix.
type zones struct {
	// nanp is for +1, by area code and exchange: libphonenumber looks at no more
	// of such a number. Most campaigns have no others, and a million rows have
	// most of these prefixes; so it is a plain table, of 4 MB when full.
	nanp [1000]atomic.Pointer[exchanges]

	mu     sync.Mutex
	abroad map[uint64]*set // by the first nine digits, or all of them
	sets   map[string]*set // by the names of their zones; "" is the fallback
}

type exchanges [1000]atomic.Pointer[set]

const (
	nanpFrom, nanpTo = 1_000_000_0000, 1_999_999_9999

	// abroadEnd keeps of other numbers the nine digits that libphonenumber looks at.
	abroadEnd = 1_000_000_000
	// maxAbroad bounds what is remembered; then it begins anew.
	maxAbroad = 100_000
)

func newZones(fallback *time.Location) (*zones, error) {
	names, err := phonenumbers.GetTimezonesForPrefix("1206")
	if err != nil {
		return nil, fmt.Errorf("read the time zones of phone numbers: %w", err)
	}
	for _, name := range names {
		if _, err := time.LoadLocation(name); err != nil {
			return nil, fmt.Errorf("load the time zones of phone numbers: %w", err)
		}
	}
	return &zones{
		abroad: map[uint64]*set{},
		sets:   map[string]*set{"": {locations: []*time.Location{fallback}}},
	}, nil
}

func (z *zones) of(number flowroute.E164) *set {
	n := number.Uint64()
	if n < nanpFrom || n > nanpTo {
		return z.ofAbroad(n)
	}
	area := &z.nanp[n/1e7%1000]
	if area.Load() == nil {
		area.CompareAndSwap(nil, new(exchanges))
	}
	exchange := &area.Load()[n/1e4%1000]
	known := exchange.Load()
	if known == nil {
		z.mu.Lock()
		defer z.mu.Unlock()
		known = z.lookUp(strconv.FormatUint(n/1e4, 10))
		exchange.Store(known)
	}
	return known
}

func (z *zones) ofAbroad(n uint64) *set {
	key := n
	for key >= abroadEnd {
		key /= 10
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	known := z.abroad[key]
	if known == nil {
		if len(z.abroad) == maxAbroad {
			clear(z.abroad)
		}
		known = z.lookUp(strconv.FormatUint(key, 10))
		z.abroad[key] = known
	}
	return known
}

// lookUp returns the set of a prefix. It needs the lock.
func (z *zones) lookUp(prefix string) *set {
	names, err := phonenumbers.GetTimezonesForPrefix(prefix)
	// It fails where newZones has failed before.
	if err != nil || len(names) > MaxZones || slices.Contains(names, phonenumbers.UNKNOWN_TIMEZONE) {
		names = nil
	}
	key := strings.Join(names, ",")
	known := z.sets[key]
	if known == nil {
		known = &set{locations: z.load(names)}
		z.sets[key] = known
	}
	return known
}

// load puts the fallback for a zone that libphonenumber knows and this machine
// does not.
func (z *zones) load(names []string) []*time.Location {
	var locations []*time.Location
	for _, name := range names {
		location, err := time.LoadLocation(name)
		if err != nil {
			location = z.sets[""].locations[0]
		}
		locations = append(locations, location)
	}
	return locations
}
