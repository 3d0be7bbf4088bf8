package flowroutetest

import "time"

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
	On    []Op          `json:"on"`       // where it happens by default
	Delay time.Duration `json:"delay_ns"` // default of Fault.Delay, 0 where it has none
}

// FaultNames returns the known faults, sorted.
func FaultNames() []string { panic("todo") }

// KnownFaults returns what each known fault does, in the order of FaultNames.
func KnownFaults() []FaultInfo { panic("todo") }

// ParseFaults reads "name=0.1,name=x3": a probability, or an exact count.
func ParseFaults(s string) (Faults, error) { panic("todo") }

// Validate reports unknown names, listing the known ones, and probabilities
// outside 0 to 1.
func (f Faults) Validate() error { return nil }
