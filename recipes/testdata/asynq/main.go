package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/hibiken/asynq"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	redis, err := asynq.ParseRedisURI(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0"))
	if err != nil {
		return err
	}
	client := asynq.NewClient(redis)
	defer client.Close()

	payload, err := json.Marshal(map[string]any{
		"v": 1, "from": "+12065550100", "to": "+12065550151", "body": "Your table is ready.",
	})
	if err != nil {
		return err
	}
	// The TaskID is the key: the same one again is the same message, not a second text.
	_, err = client.Enqueue(asynq.NewTask("send-message", payload), asynq.TaskID("table-7"), asynq.Queue("normal"))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) { // which says that it is there already
		return err
	}
	fmt.Println("table-7 is queued") // GET /v1/messages/table-7 has its state
	return nil
}
