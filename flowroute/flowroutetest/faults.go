package flowroutetest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Op names a group of requests that a fault can be confined to.
type Op string

// The operations of the API, as faults and statistics name them.
const (
	OpSend        Op = "send"         // POST messages
	OpLookup      Op = "lookup"       // GET messages, GET messages/{id}
	OpPurchase    Op = "purchase"     // POST numbers/{id}
	OpNumberWrite Op = "number-write" // PATCH and DELETE numbers/{id}, its relationships but routes
	OpRouteWrite  Op = "route-write"  // POST, PATCH and DELETE of routes
	OpRouteSet    Op = "route-set"    // PATCH and DELETE of a number's primary_route and failover_route
	OpRead        Op = "read"         // GET of numbers, routes and everything else under /v2
	OpConfig      Op = "config"       // callbacks of the account and other writes
)

func allOps() []Op {
	return []Op{OpSend, OpLookup, OpPurchase, OpNumberWrite, OpRouteWrite, OpRouteSet, OpRead, OpConfig}
}

func writeOps() []Op {
	return []Op{OpSend, OpPurchase, OpNumberWrite, OpRouteWrite, OpRouteSet, OpConfig}
}

// Fault says how often a named fault happens. The zero value never does.
type Fault struct {
	Probability float64       `json:"probability,omitempty"` // of each request it applies to, 0 to 1
	Count       int           `json:"count,omitempty"`       // exactly the next so many requests it applies to; goes down
	On          []Op          `json:"on,omitempty"`          // confines or widens it to these; default: as listed for the name
	Delay       time.Duration `json:"delay_ns,omitempty"`    // for faults that wait; default: as listed for the name
	Location    string        `json:"location,omitempty"`    // where redirects point to; default: the same URL
}

// Faults are faults by name. [FaultNames] lists the names.
type Faults map[string]Fault

// FaultInfo describes a fault the simulator knows.
type FaultInfo struct {
	Name  string        `json:"name"`
	About string        `json:"about"`
	On    []Op          `json:"on"`                 // where it happens by default
	Delay time.Duration `json:"delay_ns,omitempty"` // default of Fault.Delay, 0 where it has none
}

// FaultNames returns the known faults, sorted.
func FaultNames() []string {
	var names []string
	for _, f := range KnownFaults() {
		names = append(names, f.Name)
	}
	return names
}

// KnownFaults returns what each known fault does, in the order of FaultNames.
func KnownFaults() []FaultInfo {
	var infos []FaultInfo
	for _, d := range faultDefs() {
		infos = append(infos, d.FaultInfo)
	}
	slices.SortFunc(infos, func(a, b FaultInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// ParseFaults reads "name=0.1,name=x3": a probability, or an exact count.
func ParseFaults(s string) (Faults, error) {
	out := Faults{}
	var problems []error
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var f Fault
		var err error
		if n, exact := strings.CutPrefix(value, "x"); exact {
			f.Count, err = strconv.Atoi(n)
		} else {
			f.Probability, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("fault %q: want name=0.1 (probability) or name=x3 (exact count)", part))
			continue
		}
		out[strings.TrimSpace(name)] = f
	}
	problems = append(problems, out.Validate())
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return out, nil
}

// Validate reports unknown names, listing the known ones, and probabilities
// outside 0 to 1.
func (f Faults) Validate() error {
	known := FaultNames()
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(f)) {
		v := f[name]
		if !slices.Contains(known, name) {
			problems = append(problems, fmt.Errorf("no fault %q; known: %s", name, strings.Join(known, " ")))
		}
		if !(v.Probability >= 0 && v.Probability <= 1) || v.Count < 0 || v.Delay < 0 {
			problems = append(problems, fmt.Errorf("fault %q: probability is from 0 to 1, count and delay are not negative", name))
		}
		for _, op := range v.On {
			if !slices.Contains(allOps(), op) {
				problems = append(problems, fmt.Errorf("fault %q: no operation %q; known: %v", name, op, allOps()))
			}
		}
	}
	return errors.Join(problems...)
}

// faultSet decides which fault happens to which request. Each fault draws
// from its own generator, so that the n-th decision about one fault depends
// on the seed and n alone.
type faultSet struct {
	seed uint64
	any  atomic.Bool // spares requests the lock while no fault is set

	mu   sync.Mutex
	on   map[string]*faultState
	defs []faultDef
	hits map[string]int64
	// woken wakes those who wait for a fault to have happened.
	woken func()
}

type faultState struct {
	Fault
	def faultDef
	rng *rand.Rand
}

func newFaultSet(seed uint64, f Faults) *faultSet {
	s := &faultSet{seed: seed, on: map[string]*faultState{}, defs: faultDefs(), hits: map[string]int64{}}
	for name, v := range f {
		s.set(name, v)
	}
	return s
}

func (s *faultSet) set(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.on[name]
	if st == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name))
		st = &faultState{rng: rand.New(rand.NewPCG(s.seed, h.Sum64()))}
		s.on[name] = st
	}
	i := slices.IndexFunc(s.defs, func(d faultDef) bool { return d.Name == name })
	st.Fault, st.def = f, s.defs[i]
	s.refresh()
}

func (s *faultSet) refresh() {
	armed := false
	for _, st := range s.on {
		armed = armed || st.Count > 0 || st.Probability > 0
	}
	s.any.Store(armed)
}

// pick returns the first fault of a phase that happens to a request of op.
// Faults after it are not drawn, and keep their counts.
func (s *faultSet) pick(p phase, op Op) (string, Fault, bool) {
	if !s.any.Load() {
		return "", Fault{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.defs {
		if st := s.on[d.Name]; d.phase == p && st != nil && s.happens(st, op) {
			return d.Name, st.resolved(), true
		}
	}
	return "", Fault{}, false
}

// hit draws one named fault for a request of op.
func (s *faultSet) hit(name string, op Op) (Fault, bool) {
	if !s.any.Load() {
		return Fault{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.on[name]; st != nil && s.happens(st, op) {
		return st.resolved(), true
	}
	return Fault{}, false
}

func (s *faultSet) happens(st *faultState, op Op) bool {
	ops := st.On
	if len(ops) == 0 {
		ops = st.def.On
	}
	if !slices.Contains(ops, op) {
		return false
	}
	switch {
	case st.Count > 0:
		st.Count--
		if st.Count == 0 {
			s.refresh()
		}
	case st.Probability > 0 && st.rng.Float64() < st.Probability:
	default:
		return false
	}
	s.hits[st.def.Name]++
	if s.woken != nil {
		s.woken()
	}
	return true
}

// resolved is the fault with its defaults filled in.
func (st *faultState) resolved() Fault {
	f := st.Fault
	if f.Delay == 0 {
		f.Delay = st.def.Delay
	}
	return f
}

// SetFault replaces the named fault; the zero Fault switches it off.
func (s *Simulator) SetFault(name string, f Fault) error {
	if err := (Faults{name: f}).Validate(); err != nil {
		return err
	}
	s.faults.set(name, f)
	return nil
}

// FailNext makes the named fault happen to the next n requests it applies
// to, besides its probability.
func (s *Simulator) FailNext(name string, n int) error {
	f := s.ActiveFaults()[name]
	f.Count += n
	return s.SetFault(name, f)
}

// ClearFaults switches all faults off. What earlier ones did (a hold on the
// MDR listing, requests that are held) stays.
func (s *Simulator) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for _, st := range s.faults.on {
		st.Fault = Fault{}
	}
	s.faults.refresh()
}

// ActiveFaults returns the faults that are switched on, with what is left of
// their counts.
func (s *Simulator) ActiveFaults() Faults {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := Faults{}
	for name, st := range s.faults.on {
		if st.Count > 0 || st.Probability > 0 {
			out[name] = st.Fault
		}
	}
	return out
}
