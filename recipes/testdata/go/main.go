package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func main() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	options, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0"))
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		return err
	}

	receipt, err := client.Send(ctx, jobs.Message{
		From: "+12065550100", To: "+12065550141", Body: "Your order has shipped.",
		Key: "order-1042/shipped", // the same key again is the same message, not a second text
	})
	if err != nil {
		return err
	}
	job, err := client.Wait(ctx, receipt.ID)
	if err != nil {
		return err
	}
	fmt.Println(job.To, job.State)

	var sale []jobs.Message
	for _, phone := range []string{"+12065550142", "(206) 555-0143", "555-0144"} {
		sale = append(sale, jobs.Message{From: "+12065550100", To: phone, Body: "The spring sale has begun!",
			Key: "spring/" + phone, Priority: jobs.PriorityBulk})
	}
	receipts, errs := client.SendMany(ctx, sale) // a receipt or an error for each
	for i, message := range sale {
		if errs[i] != nil {
			fmt.Println(message.To, errs[i])
		} else {
			fmt.Println(message.To, receipts[i].ID, receipts[i].State)
		}
	}
	return nil
}
