// Command outside is an app of another module that sends a message.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		return err
	}
	receipt, err := client.Send(ctx, jobs.Message{From: "+12065550100", To: "+12065550123", Body: "from outside"})
	if err != nil {
		return err
	}
	fmt.Println(receipt.ID)
	return nil
}
