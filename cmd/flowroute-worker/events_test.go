package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const eventsSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestWebhookTellsOfAMessage: from the queue to its end, in order, by the process that
// has the role for it.
func TestWebhookTellsOfAMessage(t *testing.T) {
	t.Parallel()
	states := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Events []struct{ State, Type string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !strings.HasPrefix(r.Header.Get("User-Agent"), "flowroute-worker/") {
			t.Errorf("got %v, %v", err, r.Header)
		}
		for _, e := range body.Events {
			if e.Type == "send-message" {
				states <- e.State
			}
		}
	}))
	defer receiver.Close()
	b := setup(t).with("EVENTS_URL", receiver.URL, "EVENTS_SECRET", eventsSecret)
	intake := b.start("run", "--roles", "http,worker")
	b.start("run", "--roles", "scheduler").log("webhook goes on")
	b.run(sent("--wait")...).want(t, exitDone, "", "")
	for _, want := range []string{"queued", "sending", "accepted"} {
		select {
		case got := <-states:
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("the webhook was not told of %s", want)
		}
	}
	// The lag is everybody's: also of a process that does not post.
	if _, body := get(t, intake.url()+"/metrics"); !strings.Contains(body, "\nflowroute_worker_webhook_lag_seconds ") {
		t.Error("no metric of the lag")
	}
}

// TestStreamsEndWithTheService: a client that follows does not hold up the drain.
func TestStreamsEndWithTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.start("run")
	response, err := http.Get(s.url() + "/v1/events")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", response, err)
	}
	defer response.Body.Close()
	began := time.Now()
	if code := s.end(); code != exitDone {
		t.Errorf("got exit code %d", code)
	}
	if took := time.Since(began); took >= httpDrain {
		t.Errorf("the end took %v, want less than the drain of %v", took, httpDrain)
	}
}

func TestWebhookNeedsASecret(t *testing.T) {
	t.Parallel()
	setup(t).with("EVENTS_URL", "https://example.com").run("run").want(t, exitUsage, "", "EVENTS_SECRET")
}
