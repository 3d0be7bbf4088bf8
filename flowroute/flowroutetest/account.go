package flowroutetest

import (
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// account is all state that requests change. Simulator.mu guards it.
type account struct {
	store     *store
	book      *numberBook
	routes    *routeTable
	extras    *extras
	optedOut  map[pair]bool
	callbacks map[string]string // by callback type
	purchases []Purchase
	ids       *idSource // of records, apart from those of errors, so that an error shifts no MDR id
	chance    *rand.Rand
	never     map[uint64]bool // Options.Undeliverable
}

// pair is one of our numbers and a recipient.
type pair struct{ from, to uint64 }

func newAccount(o Options, now time.Time) *account {
	a := &account{
		store:     newStore(o.KeepMessages),
		routes:    newRouteTable(o.Routes),
		extras:    newExtras(),
		optedOut:  map[pair]bool{},
		callbacks: map[string]string{},
		ids:       newIDSource(o.Seed, 2),
		chance:    rand.New(rand.NewPCG(o.Seed, 3)),
		never:     map[uint64]bool{},
	}
	a.book = newNumberBook(o, now)
	for _, p := range o.OptedOut {
		a.optedOut[pair{digits(p.From), digits(p.To)}] = true
	}
	for _, n := range o.Undeliverable {
		a.never[digits(n)] = true
	}
	return a
}

// digits reads a phone number as 11 digits; 0 when it is none.
func digits(s string) uint64 {
	s = strings.TrimPrefix(s, "+")
	if len(s) != 11 || s[0] != '1' || s[1] < '2' || s[4] < '2' {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func numberText(n uint64) string { return strconv.FormatUint(n, 10) }

func tollFree(n uint64) bool {
	switch n / 1e7 {
	case 1800, 1833, 1844, 1855, 1866, 1877, 1888:
		return true
	}
	return false
}

// OptOut records that recipient `to` sent STOP to our number `from`.
func (s *Simulator) OptOut(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acct.optedOut[pair{digits(from), digits(to)}] = true
}

// OptIn forgets it.
func (s *Simulator) OptIn(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.acct.optedOut, pair{digits(from), digits(to)})
}

// OptedOut returns all recipients that sent STOP, in no order.
func (s *Simulator) OptedOut() []OptOutPair {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]OptOutPair, 0, len(s.acct.optedOut))
	for p := range s.acct.optedOut {
		out = append(out, OptOutPair{From: numberText(p.from), To: numberText(p.to)})
	}
	return out
}

func (o Options) withDefaults() Options {
	if o.AccessKey == "" {
		o.AccessKey = DefaultAccessKey
	}
	if o.SecretKey == "" {
		o.SecretKey = DefaultSecretKey
	}
	if o.Owned == nil {
		o.Owned = DefaultOwned()
	}
	if o.Inventory == nil {
		o.Inventory = DefaultInventory()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Callbacks.Copies == 0 {
		o.Callbacks.Copies = 1
	}
	if o.Callbacks.RetryEvery == 0 {
		o.Callbacks.RetryEvery = 30 * time.Second
	}
	c := &o.Choices
	orElse(&c.MDRDefaultLimit, 10)
	orElse(&c.NotOwnedStatus, 403)
	orElse(&c.AlreadyOwnedStatus, 422)
	orElse(&c.TakenStatus, 404)
	return o
}

func orElse(v *int, fallback int) {
	if *v == 0 {
		*v = fallback
	}
}

// idSource draws reproducible ids. It is safe for concurrent use.
type idSource struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newIDSource(seed, stream uint64) *idSource {
	return &idSource{rng: rand.New(rand.NewPCG(seed, stream))}
}

// bytes returns the 16 bytes of a random (version 4) UUID.
func (s *idSource) bytes() [16]byte {
	s.mu.Lock()
	a, b := s.rng.Uint64(), s.rng.Uint64()
	s.mu.Unlock()
	var id [16]byte
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (s *idSource) uuid() string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 36)
	for i, b := range s.bytes() {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hex[b>>4], hex[b&15])
	}
	return string(out)
}

// below returns a number in [0, n).
func (s *idSource) below(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Int64N(n)
}
