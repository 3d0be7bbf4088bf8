package flowroutetest

import (
	"net/http"
)

// apiRoutes is the table of paths. Everything else is answered as a path the
// API does not have.
func (s *Simulator) apiRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	on := func(version, path string, ep endpoint) {
		mux.HandleFunc(s.o.BasePath+"/"+version+path, func(w http.ResponseWriter, r *http.Request) {
			s.serveEndpoint(w, r, version, ep)
		})
	}
	mux.HandleFunc("/", s.serveUnknown)

	for _, version := range []string{"v2.1", "v2.2"} {
		on(version, "/messages", endpoint{
			"POST": {OpSend, KindSMS, s.postMessage},
			"GET":  {OpLookup, KindLookup, s.listMessages},
		})
		on(version, "/messages/{id}", endpoint{
			"GET":    {OpLookup, KindLookup, s.getMessage},
			"PUT":    {OpConfig, "", s.putCallback},
			"DELETE": {OpConfig, "", s.deleteCallback},
		})
	}
	v2 := func(path string, ep endpoint) { on("v2", path, ep) }
	read := func(run func(*call) reply) action { return action{OpRead, KindNumbers, run} }
	write := func(op Op, run func(*call) reply) action { return action{op, KindNumbers, run} }

	v2("/numbers/available/areacodes", endpoint{"GET": read(s.listAreaCodes)})
	v2("/numbers/available/exchanges", endpoint{"GET": read(s.listExchanges)})
	v2("/numbers/available", endpoint{"GET": read(s.searchNumbers)})
	v2("/numbers", endpoint{"GET": read(s.listNumbers)})
	v2("/numbers/details", endpoint{"POST": read(s.numbersDetails)})
	v2("/numbers/{id}", endpoint{
		"GET":    read(s.getNumber),
		"POST":   write(OpPurchase, s.purchaseNumber),
		"PATCH":  write(OpNumberWrite, s.patchNumber),
		"DELETE": write(OpNumberWrite, s.deleteNumber),
	})
	v2("/routes", endpoint{"GET": read(s.listRoutes), "POST": write(OpRouteWrite, s.createRoute)})
	v2("/routes/edge_strategies", endpoint{"GET": read(s.listEdgeStrategies)})
	v2("/routes/{id}", endpoint{
		"GET":    read(s.getRoute),
		"PATCH":  write(OpRouteWrite, s.patchRoute),
		"DELETE": write(OpRouteWrite, s.deleteRoute),
	})
	s.relationRoutes(v2, write)
	s.extraRoutes(v2, read, write)
	return mux
}

// relationRoutes are the paths below numbers/{id}/relationships/.
func (s *Simulator) relationRoutes(v2 func(string, endpoint), write func(Op, func(*call) reply) action) {
	// named tells the handler which relation the path names.
	named := func(relation string, run func(*call) reply) func(*call) reply {
		return func(c *call) reply {
			c.r.SetPathValue("relation", relation)
			return run(c)
		}
	}
	const prefix = "/numbers/{id}/relationships/"
	for _, slot := range []string{slotPrimary, slotFailover} {
		v2(prefix+slot, endpoint{
			"PATCH":  write(OpRouteSet, named(slot, s.setRoute)),
			"DELETE": write(OpRouteSet, named(slot, s.clearRoute)),
		})
	}
	for _, name := range []string{"sms_callback", "mms_callback", "sms_dlr_callback", "mms_dlr_callback", "dlr_callback"} {
		v2(prefix+name, endpoint{"POST": write(OpNumberWrite, named(name, s.postNumberCallback))})
	}
	for _, name := range []string{"cnam", "cnams"} { // the documentation and Node's SDK have the second
		v2(prefix+name+"/{target}", endpoint{"PATCH": write(OpNumberWrite, s.assignCNAM)})
		v2(prefix+name, endpoint{"DELETE": write(OpNumberWrite, s.unassignCNAM)})
	}
	v2(prefix+"e911s/{target}", endpoint{"PATCH": write(OpNumberWrite, s.assignE911)})
	v2(prefix+"e911s", endpoint{"DELETE": write(OpNumberWrite, s.unassignE911)})
}

func (s *Simulator) serveUnknown(w http.ResponseWriter, r *http.Request) {
	s.counts.unknown()
	if complain := s.unknown.Load(); complain != nil {
		(*complain)(r)
	}
	s.log.Info("unknown path", "method", r.Method, "path", r.URL.Path)
	c := &call{s: s, w: w, r: r}
	c.write(noSuchURL())
}
