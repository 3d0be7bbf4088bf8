package httpapi

import (
	"bytes"
	"net/http"

	"github.com/flowroute-worker/flowroute-worker/jobs/console"
)

// handler answers, or returns what went wrong before it wrote anything; the
// middleware answers that and logs it, once.
type handler func(http.ResponseWriter, *http.Request) error

// route is one pattern and what holds for it.
type route struct {
	serve handler
	open  bool // no login
	quiet bool // asked for every few seconds, by programs: logged at debug level unless it fails
}

func (s *Server) addRoutes() {
	s.mux, s.routes = http.NewServeMux(), map[string]route{}
	add := func(pattern string, serve handler) { s.addRoute(pattern, route{serve: serve}) }

	add("POST /v1/messages", s.postMessage)
	add("GET /v1/messages", s.getMessages)
	add("DELETE /v1/messages/{id}", s.deleteMessage)
	add("POST /v1/number-purchases", s.postPurchase)
	add("POST /v1/route-updates", s.postRouteUpdate)
	for _, k := range kinds() {
		add("GET "+k.path+"/{id}", s.getOf(k))
	}
	add("GET /v1/jobs/{id}", s.getJob)
	add("GET /v1/events", newStreams(s).serve)
	add("GET /v1/review", s.getReview)
	add("POST /v1/review/{id}", s.postReview)
	if s.o.Limits != nil {
		add("GET /v1/limits", s.getLimits)
	}
	if s.o.Numbers != nil {
		add("GET /v1/numbers", s.getNumbers)
		add("GET /v1/routes", s.getRoutes)
	}
	if s.o.MDRs != nil {
		add("GET /v1/mdrs", s.getMDRs)
	}
	if s.o.Reconciler != nil {
		add("GET /v1/reconciliation", s.getReconciliation)
		add("GET /v1/reconciliation/reports", s.getReconciliationReports)
	}
	if s.o.OptOuts != nil {
		add("GET /v1/optouts", s.getOptOuts)
		add("POST /v1/optouts", s.postOptOuts)
		add("DELETE /v1/optouts", s.deleteOptOut)
	}

	if s.o.Campaigns != nil {
		s.addCampaigns(add)
	}

	if s.webhooks != nil {
		s.webhooks.addRoutes()
	}

	s.addRoute("GET /healthz", route{serve: s.getHealth, open: true, quiet: true})
	s.addRoute("GET /readyz", route{serve: s.getReady, open: true, quiet: true})
	s.addRoute("GET /metrics", route{serve: s.getMetrics, open: s.o.MetricsPublic, quiet: true})
	s.addRoute("GET /openapi.yaml", route{serve: getDescription(), open: true})

	s.addRoute("GET /login", route{serve: s.getLogin, open: true})
	s.addRoute("POST /login", route{serve: s.postLogin, open: true})
	s.addRoute("POST /logout", route{serve: s.postLogout, open: true})
	s.addRoute("GET /assets/", route{serve: plain(console.Assets()), open: true, quiet: true})
	s.addRoute("GET /favicon.ico", route{serve: plain(http.RedirectHandler("/assets/icon.svg", http.StatusFound)), open: true, quiet: true})
	s.addRoute("/queues/", route{serve: s.queues.serve, quiet: true})
	// Browsers ask for it without the cookie; it names icons.
	s.addRoute("GET /queues/manifest.json", route{serve: s.queues.serve, open: true, quiet: true})
	if s.o.Console != nil {
		s.addRoute("GET /{$}", route{serve: plain(s.o.Console)})
		s.addRoute("GET /console/", route{serve: plain(s.o.Console), quiet: true})
		s.addRoute("/campaigns", route{serve: plain(s.o.Console)})
		s.addRoute("/campaigns/", route{serve: plain(s.o.Console)})
	}
}

func (s *Server) addCampaigns(add func(string, handler)) {
	c := s.o.Campaigns
	add("POST /v1/campaigns", s.postCampaign)
	add("GET /v1/campaigns", s.getCampaigns)
	add("GET /v1/campaigns/{id}", s.getCampaign)
	add("GET /v1/campaigns/{id}/failures", s.getFailures)
	add("POST /v1/campaigns/{id}/recipients", s.postRecipients)
	add("POST /v1/campaigns/{id}/start", s.changeCampaign(c.Start))
	add("POST /v1/campaigns/{id}/pause", s.changeCampaign(c.Pause))
	add("POST /v1/campaigns/{id}/resume", s.changeCampaign(c.Resume))
	add("POST /v1/campaigns/{id}/cancel", s.changeCampaign(c.Cancel))
}

func plain(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

func (s *Server) addRoute(pattern string, rt route) {
	s.routes[pattern] = rt
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := rt.serve(w, r); err != nil {
			noteOf(r.Context()).err = err
		}
	})
}

// dispatch answers the request, or says why it cannot be answered.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, n *note) error {
	setHeaders(w.Header())
	_, pattern := s.mux.Handler(r)
	rt, known := s.routes[pattern]
	n.route, n.quiet = pattern, rt.quiet && (rt.open || r.Method == http.MethodGet || r.Method == http.MethodHead)
	who, done, err := s.guard(w, r, rt.open)
	if err != nil || done {
		return err
	}
	n.login = who.name
	if !known {
		return s.noRoute(r)
	}
	ctx := console.WithUser(withNote(r.Context(), n), who.name, who.by == bySession)
	s.mux.ServeHTTP(w, r.WithContext(ctx))
	return n.err
}

// noRoute says in our own form what the mux says in plain text.
func (s *Server) noRoute(r *http.Request) error {
	says := &answer{header: http.Header{}}
	s.mux.ServeHTTP(says, r)
	if says.status == http.StatusMethodNotAllowed {
		allow := says.header.Get("Allow")
		return newProblem(http.StatusMethodNotAllowed, codeNoSuchMethod, "Use %s here.", allow).with("Allow", allow)
	}
	return nothingHere()
}

func nothingHere() error {
	return newProblem(http.StatusNotFound, codeNotFound, "There is nothing at this path.")
}

// answer keeps what a handler says.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// setHeaders sets what holds for every answer. Pages take nothing from outside
// and run no scripts but ours. (A stricter Referrer-Policy would make browsers
// hide the origin of our own login form.)
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
