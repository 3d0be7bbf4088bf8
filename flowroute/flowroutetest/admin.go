package flowroutetest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// adminPrefix is where the administration surface is; the API has no such path.
const adminPrefix = "/_sim/"

// adminRoute is one call of the administration surface.
type adminRoute struct {
	pattern string
	about   string
	run     func(http.ResponseWriter, *http.Request) (any, error)
}

func (s *Simulator) adminTable() []adminRoute {
	return []adminRoute{
		{"GET /_sim/health", "200 while it runs", func(http.ResponseWriter, *http.Request) (any, error) { return map[string]bool{"ok": true}, nil }},
		{"GET /_sim/truth", "what was really accepted, bought and set (type Truth)", func(http.ResponseWriter, *http.Request) (any, error) { return s.Truth(), nil }},
		{"GET /_sim/counts", "totals (type Counts)", func(http.ResponseWriter, *http.Request) (any, error) { return s.Counts(), nil }},
		{"GET /_sim/messages", "accepted messages (type AcceptedMessage) one a line, ?skip=&limit=", s.adminMessages},
		{"GET /_sim/records", "all MDRs (type Record) one a line, visible or not", s.adminRecords},
		{"POST /_sim/records", "plants MDRs of other systems, one Record a line; answers their ids", s.adminPlant},
		{"GET /_sim/attempts", "times of counted requests (type Attempt), ?kind=sms&key=", s.adminAttempts},
		{"GET /_sim/requests", "the latest requests (type Request), where they are kept", func(http.ResponseWriter, *http.Request) (any, error) { return s.Requests(), nil }},
		{"GET /_sim/faults", "the known faults and those switched on", s.adminFaults},
		{"PUT /_sim/faults", "switches faults on by name: {\"accepted-then-cut\":{\"probability\":0.1}}; those not named stay", s.adminSetFaults},
		{"DELETE /_sim/faults", "switches all faults off", func(http.ResponseWriter, *http.Request) (any, error) { s.ClearFaults(); return s.ActiveFaults(), nil }},
		{"POST /_sim/faults/{name}/next", "makes a fault happen to the next ?n=1 requests it applies to", s.adminFailNext},
		{"GET /_sim/limits", "the limits in force (type Limits)", func(http.ResponseWriter, *http.Request) (any, error) { return s.Limits(), nil }},
		{"PUT /_sim/limits", "replaces them", s.adminSetLimits},
		{"GET /_sim/optouts", "recipients that sent STOP", func(http.ResponseWriter, *http.Request) (any, error) { return s.OptedOut(), nil }},
		{"PUT /_sim/optouts", "adds one: {\"from\":our number,\"to\":recipient}", s.adminOptOut(s.OptOut)},
		{"DELETE /_sim/optouts", "removes one, same body", s.adminOptOut(s.OptIn)},
		{"POST /_sim/inbound", "a message arrives: {\"from\",\"to\",\"body\",\"media_urls\"}; answers its MDR id", s.adminInbound},
		{"POST /_sim/numbers", "puts a number on the account: {\"number\"}", s.adminAddNumber},
		{"POST /_sim/advance", "moves the clock forward: {\"duration\":\"5s\"}", s.adminDuration(func(d time.Duration) any { s.Advance(d); return map[string]time.Time{"now": s.now()} })},
		{"POST /_sim/hold-records", "no further record becomes visible for {\"duration\":\"5m\"}; \"0s\" ends it", s.adminDuration(func(d time.Duration) any { s.HoldRecords(d); return map[string]bool{"ok": true} })},
		{"POST /_sim/complete", "ends all messages that are still buffered", func(http.ResponseWriter, *http.Request) (any, error) {
			return map[string]int{"completed": s.Complete()}, nil
		}},
		{"POST /_sim/reset", "forgets everything that happened; faults and limits stay", func(http.ResponseWriter, *http.Request) (any, error) { s.Reset(); return s.Counts(), nil }},
	}
}

func (s *Simulator) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	table := s.adminTable()
	calls := make([]map[string]string, 0, len(table))
	for _, route := range table {
		calls = append(calls, map[string]string{"call": route.pattern, "about": route.about})
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := route.run(w, r)
			switch {
			case errors.Is(err, errStreamed):
			case err != nil:
				writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			default:
				writeJSON(w, http.StatusOK, v)
			}
		})
	}
	mux.HandleFunc("GET /_sim/{$}", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, calls) })
	return mux
}

// serveAdmin keeps web pages of other origins out: the surface has no login.
func (s *Simulator) serveAdmin(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": "another origin"})
			return
		}
	}
	s.admin.ServeHTTP(w, r)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(v), '\n'))
}

// errStreamed says that the handler has answered by itself.
var errStreamed = errors.New("already answered")

func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxRequest))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func (s *Simulator) adminMessages(w http.ResponseWriter, r *http.Request) (any, error) {
	skip, limit := 0, 0
	for name, to := range map[string]*int{"skip": &skip, "limit": &limit} {
		if text := r.URL.Query().Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return nil, errors.New(name + " is a number from 0")
			}
			*to = n
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for sent := 0; limit == 0 || sent < limit; {
		part := 1000
		if limit > 0 {
			part = min(part, limit-sent)
		}
		list := s.Messages(skip+sent, part)
		for _, m := range list {
			if enc.Encode(m) != nil {
				return nil, errStreamed
			}
		}
		if sent += len(list); len(list) < part {
			break
		}
	}
	return nil, errStreamed
}

func (s *Simulator) adminRecords(w http.ResponseWriter, _ *http.Request) (any, error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for r := range s.Records() {
		if enc.Encode(r) != nil {
			break
		}
	}
	return nil, errStreamed
}

func (s *Simulator) adminPlant(_ http.ResponseWriter, r *http.Request) (any, error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	ids := []string{}
	for {
		var rec Record
		switch err := d.Decode(&rec); {
		case errors.Is(err, io.EOF):
			return map[string]any{"ids": ids}, nil
		case err != nil:
			return nil, err
		}
		id, err := s.Plant(rec)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
}

func (s *Simulator) adminAttempts(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	list := s.Attempts(q.Get("key"), Kind(q.Get("kind")))
	return append([]Attempt{}, list...), nil
}

func (s *Simulator) adminFaults(http.ResponseWriter, *http.Request) (any, error) {
	return map[string]any{"known": KnownFaults(), "active": s.ActiveFaults(), "happened": s.faults.happened()}, nil
}

func (s *Simulator) adminSetFaults(_ http.ResponseWriter, r *http.Request) (any, error) {
	var f Faults
	if err := readJSON(r, &f); err != nil {
		return nil, err
	}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	for name, v := range f {
		s.faults.set(name, v)
	}
	return s.ActiveFaults(), nil
}

func (s *Simulator) adminFailNext(_ http.ResponseWriter, r *http.Request) (any, error) {
	n := 1
	if text := r.URL.Query().Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return nil, errors.New("n is a number from 0")
		}
	}
	if err := s.FailNext(r.PathValue("name"), n); err != nil {
		return nil, err
	}
	return s.ActiveFaults(), nil
}

func (s *Simulator) adminSetLimits(_ http.ResponseWriter, r *http.Request) (any, error) {
	var l Limits
	if err := readJSON(r, &l); err != nil {
		return nil, err
	}
	if err := s.SetLimits(l); err != nil {
		return nil, err
	}
	return s.Limits(), nil
}

func (s *Simulator) adminOptOut(do func(from, to string)) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		var p OptOutPair
		if err := readJSON(r, &p); err != nil {
			return nil, err
		}
		if digits(p.From) == 0 || digits(p.To) == 0 {
			return nil, errors.New("from and to are numbers of 11 digits")
		}
		do(p.From, p.To)
		return s.OptedOut(), nil
	}
}

func (s *Simulator) adminInbound(_ http.ResponseWriter, r *http.Request) (any, error) {
	var m struct {
		From      string   `json:"from"`
		To        string   `json:"to"`
		Body      string   `json:"body"`
		MediaURLs []string `json:"media_urls"`
	}
	if err := readJSON(r, &m); err != nil {
		return nil, err
	}
	id, err := s.Inbound(m.From, m.To, m.Body, m.MediaURLs...)
	return map[string]string{"id": id}, err
}

func (s *Simulator) adminAddNumber(_ http.ResponseWriter, r *http.Request) (any, error) {
	var n struct {
		Number string `json:"number"`
	}
	if err := readJSON(r, &n); err != nil {
		return nil, err
	}
	return n, s.AddNumber(n.Number)
}

func (s *Simulator) adminDuration(do func(time.Duration) any) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		var p struct {
			Duration string `json:"duration"`
		}
		if err := readJSON(r, &p); err != nil {
			return nil, err
		}
		d, err := time.ParseDuration(p.Duration)
		if err != nil {
			return nil, err
		}
		return do(d), nil
	}
}
