package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const (
	// maxReceipt bounds a receipt, in bytes; the text of the message is in it.
	maxReceipt = 64 << 10
	// maxInbound bounds a message that arrives: its text may be as long as an MMS.
	maxInbound = 1 << 20
	// minSecret is what cannot be guessed at the speed of a web server.
	minSecret = 16
)

// The kinds of what Flowroute posts, in paths, in metrics and for [Options.Forward].
const (
	hookReceipt = "dlr"
	hookSMS     = "sms"
	hookMMS     = "mms"
)

// What became of any post; for those of one kind, see there.
const (
	hookKnown     = "known"     // that was known
	hookForwarded = "forwarded" // it is not what it should be; whoever wants such posts gets it all the same
	hookRefused   = "refused"   // it is not what it should be
	hookNotTaken  = "not_taken" // Redis did not take it: Flowroute may send it again
)

// webhooks takes what Flowroute posts to us.
type webhooks struct {
	s        *Server
	secret   [sha256.Size]byte
	arrivals *arrivals // nil: messages that arrive are not taken

	receipts *prometheus.CounterVec
	inbound  *prometheus.CounterVec
}

// newWebhooks is nil without a secret: then there are no webhooks.
func newWebhooks(s *Server, secret string, registry prometheus.Registerer) (*webhooks, error) {
	if secret == "" {
		return nil, nil
	}
	// It is part of a path, so it must be what paths do not change.
	if len(secret) < minSecret || strings.ContainsFunc(secret, func(r rune) bool { return !isMDRID(string(r)) && r != '.' }) {
		return nil, fmt.Errorf("httpapi: the webhook secret must be at least %d letters, digits, dots, dashes and underscores", minSecret)
	}
	h := &webhooks{s: s, secret: sha256.Sum256([]byte(secret)), receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "flowroute_worker_receipts_total", Help: "Delivery receipts that Flowroute posted here, by what became of them.",
	}, []string{"result"}), inbound: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "flowroute_worker_inbound_total", Help: "Messages that Flowroute posted here as they arrived, by what became of them.",
	}, []string{"kind", "result"})}
	for _, result := range receiptResults() {
		h.receipts.WithLabelValues(result)
	}
	if err := registry.Register(h.receipts); err != nil || s.o.Inbound.Records == nil {
		return h, err
	}
	h.arrivals = newArrivals(s.o.Inbound)
	for _, kind := range []string{hookSMS, hookMMS} {
		for _, result := range inboundResults() {
			h.inbound.WithLabelValues(kind, result)
		}
	}
	return h, registry.Register(h.inbound)
}

func (h *webhooks) addRoutes() {
	const root = "POST /webhooks/flowroute/{secret}/"
	add := func(pattern string, k hook) {
		h.s.addRoute(root+pattern, route{serve: h.handler(k), open: true, quiet: true})
	}
	receipt := hook{hookReceipt, maxReceipt, func(result string) { h.receipts.WithLabelValues(result).Inc() }, h.readReceipt}
	add("dlr", receipt)
	add("dlr/{ref}", receipt)
	if h.arrivals == nil {
		return
	}
	for _, kind := range []string{hookSMS, hookMMS} {
		add(kind, hook{kind, maxInbound, func(result string) { h.inbound.WithLabelValues(kind, result).Inc() }, h.readArrival(kind)})
	}
}

// hook is a kind of post.
type hook struct {
	kind  string
	most  int64 // bytes
	count func(result string)
	// read makes of a body what is to be written down. The error is an [unreadError]
	// when the body is to blame.
	read func(r *http.Request, body []byte) (write func(context.Context) (result string, err error), err error)
}

// unreadError says what is wrong with a body. It quotes nothing of it: the text of a
// message may be in it.
type unreadError struct{ text string }

func (e *unreadError) Error() string { return e.text }

// handler takes posts and answers 200 once they are written down. Flowroute shows no
// credentials; the secret in the path stands for them. A wrong one gets the answer of
// a path that there is not.
func (h *webhooks) handler(k hook) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		given := sha256.Sum256([]byte(r.PathValue("secret")))
		if subtle.ConstantTimeCompare(given[:], h.secret[:]) != 1 {
			return nothingHere()
		}
		result, err := h.take(w, r, k)
		k.count(result)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, map[string]string{"result": result})
	}
}

func (h *webhooks) take(w http.ResponseWriter, r *http.Request, k hook) (string, error) {
	body, err := readBody(w, r, k.most)
	if err != nil {
		return hookRefused, err
	}
	write, err := k.read(r, body)
	unread, isUnread := errors.AsType[*unreadError](err)
	if err != nil && !isUnread {
		return hookRefused, err
	}
	// It has arrived whole: whether its sender waits for the answer does not matter.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	result := hookForwarded
	if !isUnread {
		if result, err = write(ctx); err != nil {
			return hookNotTaken, err
		}
	}
	// Last: what is not taken comes again, and should not be passed on twice for it.
	wanted, err := h.forward(ctx, k.kind, r.Header.Get("Content-Type"), body)
	switch {
	case err != nil:
		return hookNotTaken, err
	case isUnread && !wanted:
		return hookRefused, newProblem(http.StatusBadRequest, jobs.CodeMalformed, "Nothing was taken: %v.", unread)
	}
	return result, nil
}

// forward writes a post down for whoever else wants it.
func (h *webhooks) forward(ctx context.Context, kind, contentType string, body []byte) (wanted bool, err error) {
	if h.s.o.Forward == nil || len(body) == 0 {
		return false, nil
	}
	return h.s.o.Forward(ctx, kind, contentType, body)
}
