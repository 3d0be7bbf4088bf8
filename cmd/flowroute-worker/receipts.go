package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// receiptURL makes the address to which the receipts of one attempt are posted;
// nil: where the account's own settings say.
func (s settings) receiptURL() func(job ledger.ID, attempt int) string {
	if s.PublicURL == "" {
		return nil
	}
	return func(job ledger.ID, attempt int) string {
		return string(s.PublicURL) + httpapi.ReceiptPath(s.WebhookSecret.Reveal(), job, attempt)
	}
}

// examineReceipts asks for our own health at the address that receipts are to
// come to. Flowroute may see the network otherwise than this machine does.
func (d *desk) examineReceipts(ctx context.Context, f *findings) {
	if d.PublicURL == "" {
		f.ok("receipts", "not asked for (PUBLIC_URL is not set): what is unknown is decided from the records alone")
		return
	}
	if err := answersAt(ctx, string(d.PublicURL)); err != nil {
		f.warn("receipts", fmt.Sprintf("%s does not lead here, as seen from this machine: %v", d.PublicURL, err),
			"have it lead to this HTTP API; until then what is unknown is decided from the records alone")
		return
	}
	f.ok("receipts", "asked for at %s, which leads here", d.PublicURL)
}

// answersAt asks a service like this one whether it is alive.
func answersAt(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Alive bool }
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && (json.Unmarshal(body, &answer) != nil || !answer.Alive) {
		err = fmt.Errorf("its /healthz answered with status %d and something else", response.StatusCode)
	}
	return err
}
