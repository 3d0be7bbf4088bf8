package httpapi

import (
	"encoding/json"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// formatPayload is what the queue pages show of a task. Our own tasks carry no
// more than which job to look at. Of another app's task the ends are shown
// masked; the text of a message never is.
func formatPayload(taskType string, payload []byte) string {
	var task struct {
		Job        string `json:"job"`
		Generation int    `json:"gen"`
		From       string `json:"from"`
		To         string `json:"to"`
		Number     string `json:"number"`
	}
	if err := json.Unmarshal(payload, &task); err != nil {
		return showJSON(struct {
			Hidden string `json:"hidden"`
			Bytes  int    `json:"bytes"`
		}{"not what a task of ours looks like", len(payload)})
	}
	if id, err := ledger.ParseID(task.Job); err == nil {
		return showJSON(struct {
			Job        ledger.ID `json:"job"`
			Generation int       `json:"generation"`
		}{id, task.Generation})
	}
	return showJSON(struct {
		From   string `json:"from,omitempty"`
		To     string `json:"to,omitempty"`
		Number string `json:"number,omitempty"`
		Hidden string `json:"hidden"`
		Bytes  int    `json:"bytes"`
	}{maskNumber(task.From), maskNumber(task.To), maskNumber(task.Number), "the rest of another app's task", len(payload)})
}

// formatResult hides results: ours have none, and nobody knows what is in those
// of others.
func formatResult(_ string, result []byte) string {
	if len(result) == 0 {
		return ""
	}
	return showJSON(struct {
		Hidden string `json:"hidden"`
		Bytes  int    `json:"bytes"`
	}{"another app's result", len(result)})
}

func maskNumber(text string) string {
	if text == "" {
		return ""
	}
	number, err := flowroute.ParseE164(text)
	if err != nil {
		return "(not a number)"
	}
	return number.Masked()
}

func showJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of texts and numbers
	}
	return string(b)
}
